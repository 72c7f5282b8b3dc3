"""What `benchmarks/tables_mixed.py` asks of an environment of its own, with xgboost-cpu and ctgan in it. Needs no Lambent.

    python benchmarks/rivals.py tvae REAL.csv FAKE.csv --seed 0           # 300 epochs, ctgan's own settings
    python benchmarks/rivals.py detect REAL.csv FAKE.csv [FAKE.csv …]     # AUC of XGBClassifier, a line of JSON each

A CSV file's columns of text are categories, all others numbers.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

FOLDS = 3
EPOCHS = 300


def tvae(real: Path, fake: Path, seed: int, threads: int) -> dict[str, Any]:
    """Train ctgan's TVAE, write as many rows; the seconds of its fit, columns analysed within, and of its sampling."""
    import ctgan
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  ctgan draws from it
    rows = read(real)
    discrete = [name for name in rows if rows[name].dtype.kind not in "iufb"]
    model = ctgan.TVAE(epochs=EPOCHS, enable_gpu=False)
    started, worked = time.perf_counter(), time.process_time()
    model.fit(rows, discrete)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    started = time.perf_counter()
    model.sample(len(rows)).to_csv(fake, index=False)
    return {
        "seconds": seconds,
        "processor": processor,
        "sampling": time.perf_counter() - started,
        "threads": threads,
        "version": ctgan.__version__,
    }


def detect(real: Path, fake: Path) -> dict[str, Any]:
    """AUC of the detector of TabPC's protocol at telling two files apart, by three folds that keep the shares."""
    import numpy as np
    import pandas as pd
    import xgboost
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    tables = [read(real), read(fake)]
    x = pd.concat([table[list(tables[0])] for table in tables], ignore_index=True)
    for name in x:
        if x[name].dtype.kind not in "iufb":
            x[name] = x[name].astype(str).astype("category")
    y = np.repeat([0, 1], [len(table) for table in tables])
    found = []
    for learned, judged in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        model = xgboost.XGBClassifier(eval_metric="logloss", enable_categorical=True, random_state=0)
        model.fit(x.iloc[learned], y[learned])
        found.append(roc_auc_score(y[judged], model.predict_proba(x.iloc[judged])[:, 1]))
    auc = float(np.mean(found))
    return {"auc": auc, "c2st": 2 - 2 * max(0.5, auc), "folds": found, "version": xgboost.__version__}


def read(path: Path) -> Any:
    """A CSV file as pandas has it; only an empty cell is missing."""
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tvae", "detect"))
    parser.add_argument("real", type=Path)
    parser.add_argument("fake", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for fake in args.fake:
        found = tvae(args.real, fake, args.seed, args.threads) if args.what == "tvae" else detect(args.real, fake)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
