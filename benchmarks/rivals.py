"""What `benchmarks/tables_mixed.py` asks of an environment of its own, with xgboost-cpu and ctgan in it, or with mostlyai-engine.

    python benchmarks/rivals.py tvae REAL.csv FAKE.csv --seed 0           # 300 epochs, ctgan's own settings
    python benchmarks/rivals.py argn REAL.csv FAKE.csv --seed 0           # mostlyai-engine, its own settings
    python benchmarks/rivals.py detect REAL.csv FAKE.csv [FAKE.csv …]     # AUC of XGBClassifier, a line of JSON each

A CSV file's columns of text are categories, all others numbers.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDS = 3
EPOCHS = 300


def tvae(real: Path, fake: Path, seed: int) -> dict[str, Any]:
    """ctgan's TVAE."""
    import ctgan
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  ctgan draws from it
    rows = read(real)
    discrete = [name for name in rows if rows[name].dtype.kind not in "iufb"]
    model = ctgan.TVAE(epochs=EPOCHS, enable_gpu=False)
    return {"version": ctgan.__version__} | made(
        lambda: model.fit(rows, discrete), lambda: model.sample(len(rows)), fake
    )


def argn(real: Path, fake: Path, seed: int) -> dict[str, Any]:
    """mostlyai-engine's TabularARGN, which ends by itself."""
    from importlib.metadata import version

    from mostlyai.engine import TabularARGN

    rows = read(real)
    model = TabularARGN(device="cpu", random_state=seed)
    found = made(lambda: model.fit(rows), lambda: model.sample(n_samples=len(rows))[list(rows)], fake)
    return {"version": version("mostlyai-engine")} | found


def made(fit: Callable[[], Any], draw: Callable[[], Any], fake: Path) -> dict[str, Any]:
    """Train, write the rows drawn; the seconds of the fit, columns analysed within, of the processor, and of the drawing."""
    started, worked = time.perf_counter(), time.process_time()
    fit()
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    started = time.perf_counter()
    draw().to_csv(fake, index=False)
    return {"seconds": seconds, "processor": processor, "sampling": time.perf_counter() - started}


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
    parser.add_argument("what", choices=("tvae", "argn", "detect"))
    parser.add_argument("real", type=Path)
    parser.add_argument("fake", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.what != "detect":
        import torch

        torch.set_num_threads(args.threads)
        maker = tvae if args.what == "tvae" else argn
        print(json.dumps(maker(args.real, args.fake[0], args.seed) | {"threads": args.threads}), flush=True)
        return
    for fake in args.fake:
        print(json.dumps(detect(args.real, fake)), flush=True)


if __name__ == "__main__":
    main()
