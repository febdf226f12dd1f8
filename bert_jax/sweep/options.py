"""What `launch.py sweep` and `report` can be asked. Never imports jax."""

import argparse

from bert_jax.run.options import path


def add(sweep: argparse.ArgumentParser, report: argparse.ArgumentParser) -> None:
    """Which experiment, how many runs at a time, and what is only looked at."""
    for each in (sweep, report):
        each.add_argument("experiment", type=path, help="experiments/X.py")
        each.add_argument(
            "--root",
            type=path,
            default="runs",
            help="its runs are in ROOT/X (default: runs)",
        )
    sweep.add_argument(
        "--slots", type=int, default=1, metavar="K", help="runs at a time, with local"
    )
    sweep.add_argument(
        "--lanes",
        type=int,
        default=1,
        metavar="K",
        help="pretraining runs that one process trains by one step, where they differ "
        "in seed and optim.learning_rate alone",
    )
    what = sweep.add_mutually_exclusive_group()
    for option, text in (
        ("dry-run", "print the runs and what they cost; change nothing"),
        ("status", "print the state of every run"),
        ("cancel", "take the sweep's jobs from SLURM"),
    ):
        what.add_argument(f"--{option}", action="store_true", help=text)
