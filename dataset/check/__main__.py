"""Checks a data set: damaged and duplicate images, identities that leak or have no match, names that look the same.

    python -m dataset.check data/photos

FOLDER is a prepared data set, its name in data/, or a plain folder with one sub-folder of images per identity.
"""

import argparse
import sys
from pathlib import Path

from dataset.check.contents import Contents, read_contents
from dataset.check.duplicates import find_duplicates
from dataset.check.finding import Finding
from dataset.check.identities import find_lonely_images, find_shared_identities, find_similar_names
from dataset.check.pixels import look_at
from runtime.arguments import Parser
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.json_files import write_json
from runtime.printable import print_line


def check(args: argparse.Namespace) -> int:
    """Runs all checks, prints the report, and returns the exit code."""
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: there is no folder {Path(args.json).parent}; create it first")
    contents = read_contents(args.folder)
    for line in _describe(contents):
        print_line(line)
    findings, digests = look_at(contents)
    for part in (
        find_duplicates(contents, digests),
        find_shared_identities(contents),
        find_lonely_images(contents),
        find_similar_names(contents),
    ):
        findings += part
    found = sorted((each for each in findings if each.items), key=lambda each: not each.harms)
    for finding in found:
        for line in finding.lines():
            print_line(line)
    harmful = sum(each.harms for each in found)
    print_line(_verdict(found, harmful))
    if args.json:
        record = {"data_set": contents.title, "files": len(contents.files), "problems": harmful}
        write_json(Path(args.json), record | {"findings": [each.record() for each in found]})
    return 1 if harmful else 0


def _describe(contents: Contents) -> list[str]:
    lines = [f"{contents.title}: {counted(len(contents.files), 'file')}"]
    for part in contents.parts.values():
        known = set() if part.identities is None else set(part.identities)
        of = f" of {counted(len(known), 'identity', 'identities')}" if known else ""
        of += f" in {counted(len(part.episodes), 'episode')}" if part.episodes else ""
        lines.append(f"  {part.name}: {counted(len(part.files), 'image')}{of}")
    return lines


def _verdict(found: list[Finding], harmful: int) -> str:
    if harmful:
        return f"{counted(harmful, 'kind')} of problems: correct them before training or evaluation"
    return f"no problems, {counted(len(found), 'note')}" if found else "no problems"


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    codes = "Exit codes: 0 if there is no problem (notes are harmless), 1 for problems, 2 for invalid input."
    parser = Parser(prog="python -m dataset.check", description=__doc__.partition("\n")[0], epilog=codes)
    parser.add_argument("folder", metavar="FOLDER", help="prepared data set, its name in data/, or a folder of images")
    parser.add_argument("--json", metavar="FILE", help="also write all findings to this JSON file")
    return exit_code(lambda: check(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
