"""Runs `visualize.py hparams`."""

import argparse

from visualization.tensorboard.hparams_events import write_hparams


def run(args: argparse.Namespace) -> int:
    runs = write_hparams(args.parent_dir)
    count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    print(f"wrote parameters and metrics of {count}; tensorboard --logdir {args.parent_dir} shows them (HPARAMS)")
    return 0
