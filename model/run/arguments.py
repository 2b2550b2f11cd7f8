"""The arguments that all commands have in common."""

import argparse


def add_run_arguments(parser: argparse._ActionsContainer, *, required: bool = True) -> None:
    """Adds --model_dir, --set and --device."""
    parser.add_argument(
        "--model_dir", required=required, metavar="RUN", help="run folder: contains params.json, receives all results"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a parameter; VALUE is JSON or plain text; may be repeated",
    )
    parser.add_argument(
        "--device", default="auto", help="auto (all GPUs, or the CPU without any), cpu, gpu, or gpu:N for GPU number N"
    )
