"""Shows what a trained network does with pictures."""

import argparse
import importlib
import sys

from runtime import plugins
from runtime.errors import exit_code

# What a command runs, it imports late: --help needs none of it, and a mistake in the parameters needs no TensorFlow.

COMMANDS = sorted(file.parent.name for file in (plugins.ROOT / "visualization").glob("*/command.py"))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Each command has a --help of its own.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"visualization.{name}.command")
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(exit_code(main))
