"""Parameters and final metrics of all runs below a folder, for TensorBoard's HPARAMS tab.

The best checkpoint of each run counts; runs without metrics are skipped. Repeat the command after new
runs; it replaces its earlier files. See the table with `tensorboard --logdir DIR`.

>>> from visualize import parse
>>> parse(["hparams", "--parent_dir", "experiments"]).parent_dir.name
'experiments'
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parent_dir", required=True, type=Path, metavar="DIR", help="folder with the runs, at any depth"
    )
