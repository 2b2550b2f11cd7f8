"""Runs `visualize.py hparams`."""

import argparse

from visualization.tensorboard.hparams_events import write_hparams


def run(args: argparse.Namespace) -> int:
    runs = write_hparams(args.parent_dir)
    print(
        f"wrote parameters and metrics of {len(runs)} runs; tensorboard --logdir {args.parent_dir} shows them (HPARAMS)"
    )
    return 0
