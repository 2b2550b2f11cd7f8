"""Exports the network of a run (uint8 images in, embeddings out), with model.json and a model card."""

import argparse
import sys
from pathlib import Path

from model.exporting.request import CARD, FORMATS, check_out, check_request
from model.run.arguments import add_run_arguments
from model.run.devices import prepare
from model.run.model_json import NAME
from model.run.run_folder import RunFolder
from runtime import plugins
from runtime.arguments import Parser
from runtime.errors import exit_code
from runtime.files import replace_folder
from runtime.printable import print_line


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="The export is compared with the run's network in float32 before it is kept. The largest difference of "
        "a coordinate, divided by the mean length of the run's embeddings if that is above 1, must be at most 1e-3. "
        "Otherwise nothing is written and the exit code is 1. int8 has no such limit. See docs/using_a_model.md.",
    )
    add_run_arguments(parser)
    parser.add_argument("--format", required=True, choices=plugins.choices(FORMATS), help="format to write")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write; an earlier export there is replaced"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="best, latest, ckpt-1200, or a path (default: best, or latest if there is no best)",
    )
    parser.add_argument(
        "--quantize", choices=("float16", "int8"), help="a smaller file: half precision, or calibrated 8-bit integers"
    )
    parser.add_argument(
        "--images",
        metavar="SOURCE",
        help="images to compare on if the run's data set is not available: a folder, a pattern, or a list",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    run, out = RunFolder(args.model_dir), Path(args.out)
    request = check_request(run, args.set, args.checkpoint, args.format, args.quantize, out, args.images)
    with replace_folder(out) as folder:  # an --out that cannot be written is an error before TensorFlow is loaded
        prepare(args.device, request.params.deterministic)
        from model.exporting.exporter import export  # loads TensorFlow: only after all checks

        size = export(request, folder)
        check_out(out)  # again: other files that have appeared since must not be lost
    print_line(f"wrote {out}: {request.module.FILE} ({size / 1e6:.2f} MB), {NAME}, {CARD}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
