"""Runs `visualize.py hparams`."""

import argparse

from visualization.kit.printable import count_of
from visualization.tensorboard.hparams_events import write_hparams


def run(args: argparse.Namespace) -> int:
    runs = write_hparams(args.parent_dir)
    count = count_of(len(runs), "run")
    print(f"wrote parameters and metrics of {count}; see them with: tensorboard --logdir {args.parent_dir} (HPARAMS)")
    return 0
