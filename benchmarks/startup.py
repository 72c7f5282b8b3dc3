"""Seconds until the package is imported and until the verbs that need no model have answered.

python benchmarks/startup.py
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import RESULTS, Record, column

PROTOCOL = (
    "Whole processes, one after the other, warm disk; medians of the rounds. Of an import, the time of a bare interpreter is "
    "taken off. `lambent parts` has been called before: the first call after an installation imports torch."
)
COLUMNS = [
    column("command", "Command"),
    column("seconds", "Time", "s", ".2f"),
    column("slowest", "Slowest", "s", ".2f"),
    column("target", "Target", "s", ".1f"),
    column("rounds", "Rounds"),
]
COMMANDS = {
    "import lambent": (["-c", "import lambent"], 0.1),
    "lambent --help": (["-m", "lambent", "--help"], 0.3),
    "lambent train --help": (["-m", "lambent", "train", "--help"], None),
    "lambent parts": (["-m", "lambent", "parts"], 1.0),
    "lambent data": (["-m", "lambent", "data"], 1.0),
    "lambent doctor": (["-m", "lambent", "doctor"], 1.0),
    "import torch": (["-c", "import torch"], None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS / "startup.json")
    args = parser.parse_args()
    record = Record(args.out, "Start-up", PROTOCOL, COLUMNS, ("command",))
    bare = statistics.median(seconds(["-c", "pass"], args.rounds))
    for name, (words, target) in COMMANDS.items():
        took = seconds(words, args.rounds)
        less = bare if name.startswith("import") else 0.0
        row = {"seconds": statistics.median(took) - less, "slowest": max(took) - less, "target": target}
        record.add(command=name, rounds=args.rounds, **row)
        print(name, row, flush=True)


def seconds(words: list[str], rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    main()
