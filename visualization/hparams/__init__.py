"""Parameters and final metrics of all runs below a folder, for the HPARAMS tab of TensorBoard.

Each run's best checkpoint counts; a run that has no metrics yet is skipped. `tensorboard --logdir DIR` shows them.
Writing again replaces what was written before.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parent_dir", required=True, type=Path, metavar="DIR", help="folder with the runs, at any depth"
    )
