"""The arguments that all commands share."""

import argparse


def add_run_arguments(parser: argparse._ActionsContainer, *, required: bool = True) -> None:
    """Adds --model_dir, --set and --device."""
    parser.add_argument("--model_dir", required=required, metavar="RUN", help="run folder: params.json in, results out")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a parameter; VALUE is JSON, and plain text stands for a string; repeatable",
    )
    parser.add_argument(
        "--device", default="auto", help="auto (GPUs, else the CPU), cpu, gpu, or gpu:N for one of them"
    )
