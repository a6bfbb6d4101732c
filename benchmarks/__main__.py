"""Trains what is missing of the benchmark.

    python -m benchmarks [--set chosen|unseen|long] [--output FOLDER] [--workloads …]
        [--contestants …] [--seeds N]

Goes on where it was stopped: finished runs are in `FOLDER/*.jsonl`.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def parsed(argv=None) -> argparse.Namespace:
    from benchmarks.protocol import CONTESTANTS
    from benchmarks.sets import SETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="chosen")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--workloads", nargs="+")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--part", type=int, help="which of the jobs this process is")
    arguments = parser.parse_args(argv)
    chosen = SETS[arguments.set]
    arguments.output = arguments.output or chosen.folder
    arguments.contestants = arguments.contestants or list(chosen.usual)
    arguments.workloads = arguments.workloads or list(chosen.workloads)
    for name in sorted({*arguments.workloads} - {*chosen.workloads}):
        parser.error(f"no workload {name} in the set {arguments.set}")
    return arguments


def run_part(arguments: argparse.Namespace) -> None:
    """Every `jobs`-th pair of workload and contestant, on one core."""
    import keras
    import tensorflow as tf

    from benchmarks.datasets import MissingData
    from benchmarks.protocol import measure
    from benchmarks.provenance import fingerprint
    from benchmarks.results import Results

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    fingerprint()  # remembered: of the files that were imported, not of later ones
    results = Results(arguments.output, f"part_{arguments.part}")
    pairs = [(w, c) for c in arguments.contestants for w in arguments.workloads]
    for workload, contestant in pairs[arguments.part :: arguments.jobs]:
        try:
            measure(workload, contestant, arguments.seeds, results)
        except MissingData as error:
            sys.exit(f"{workload}: {error}")
        keras.utils.clear_session()


def main() -> None:
    arguments = parsed()
    if arguments.part is not None:
        run_part(arguments)
        return
    from benchmarks import looks
    from benchmarks.results import Results
    from benchmarks.sets import SETS

    is_unseen = SETS[arguments.set].is_unseen
    if is_unseen and (message := looks.warning(Results(arguments.output))):
        print(f"Warning: {message}", file=sys.stderr)
    parts = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *sys.argv[1:], "--part", str(part)]
        )
        for part in range(arguments.jobs)
    ]
    # That of a part which was killed is negative.
    statuses = [part.wait() for part in parts]
    if is_unseen:
        looks.note(Results(arguments.output))
    sys.exit(int(any(statuses)))


if __name__ == "__main__":
    main()
