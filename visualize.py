"""Draws pictures of a run: its data, its embeddings, its mistakes."""

import argparse
import importlib
import sys

from runtime import plugins
from runtime.arguments import Parser
from runtime.errors import exit_code

COMMANDS = sorted(file.parent.name for file in (plugins.ROOT / "visualization").glob("*/command.py"))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__, epilog="For the options of a command: visualize.py COMMAND --help. See docs/pictures.md."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        folder = importlib.import_module(f"visualization.{name}")
        words = (folder.__doc__ or "").partition("\n>>>")[0].strip()  # the help, without the example
        command = commands.add_parser(name, help=words.splitlines()[0], description=words)
        folder.add_arguments(command)
        command.set_defaults(command=name)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    return importlib.import_module(f"visualization.{args.command}.command").run(args)  # --help needs none of it


if __name__ == "__main__":
    sys.exit(exit_code(main))
