"""Run one experiment: `python -m adapters.evaluation.method_comparison experiments/quic/llama-3.2-3B-default`."""

from __future__ import annotations

import sys
from pathlib import Path

from .experiment import read_experiment
from .run import run_experiment


def _main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("Error: give the folder of one experiment, experiments/METHOD/NAME", file=sys.stderr)
        return 2
    try:
        path = run_experiment(read_experiment(Path(arguments[0])))
    except (OSError, TypeError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"The result is in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
