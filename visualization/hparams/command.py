"""Runs `visualize.py hparams`."""

import argparse

from runtime.counting import counted
from runtime.printable import print_line
from visualization.tensorboard.hparams_events import write_hparams


def run(args: argparse.Namespace) -> int:
    runs = write_hparams(args.parent_dir)
    count = counted(len(runs), "run")
    print_line(
        f"wrote parameters and metrics of {count}; see them with: tensorboard --logdir {args.parent_dir} (HPARAMS)"
    )
    return 0
