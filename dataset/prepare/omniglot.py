"""Prepares Omniglot from its official archives: train.csv with 964 characters, test.csv with 659 others.

    python -m dataset.prepare.omniglot --background images_background.zip --evaluation images_evaluation.zip \\
        --out data/omniglot

It has 1 623 handwritten characters of 50 alphabets, each drawn by 20 people (Lake, Salakhutdinov, Tenenbaum:
Human-level concept learning through probabilistic program induction, Science 2015). As published, the background
characters are for training, and the evaluation characters for testing, all against all. --background may be given
twice, with images_background_small1.zip and images_background_small2.zip instead of images_background.zip.
"""

import argparse
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from dataset.formats.inside import fault_of
from dataset.formats.writing import next_step, write_image, write_with_images
from runtime.arguments import Parser
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.input_files import check_file, size_of
from runtime.printable import print_line, print_lines

ORIGIN = "Omniglot, https://github.com/brendenlake/omniglot"
LICENCE = "MIT (Copyright (c) 2015 Brenden Lake)"
PUBLISHED_CHARACTERS = {"background": 964, "evaluation": 659}
DRAWERS = 20
MEMBER_BYTES = 2**20  # of one image; the real ones have about 300 bytes
PNG_START = b"\x89PNG\r\n\x1a\n"
MEMBER = re.compile(r"([^/]+)/([^/]+)/(character\d+)/(\d+_(0[1-9]|1\d|20)\.png)")  # top, alphabet, character, file


@dataclass(frozen=True)
class Drawing:
    """One image in an archive; `crc` and `size` refer to its uncompressed bytes."""

    archive: str
    member: str
    role: str
    identity: str
    file: str
    drawer: str
    crc: int
    size: int

    @property
    def content(self) -> tuple[str, int, int]:
        """A key for equal images. The file name NNNN_DD.png has the number of the character among all 1 623."""
        return self.file, self.crc, self.size

    @property
    def path(self) -> str:
        """The path of the extracted image, relative to the image root."""
        return f"{self.role}/{self.identity}/{self.file}"


def list_drawings(archive: str, role: str) -> list[Drawing]:
    """The drawings in one archive, according to its table of contents.

    Raises:
        UserError: when the archive is missing, not a zip archive, unsafe, of another layout, or for the other role.
    """
    try:
        check_file(Path(archive))
    except UserError as error:
        raise UserError(f"--{role} {error}") from None
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
    except Exception as error:  # damage raises errors of many kinds in zipfile and zlib
        raise UserError(f"--{role} {archive}: not a readable zip archive ({error}); download it again") from error

    drawings, tops = [], set()
    for info in members:
        name = info.filename
        if fault := fault_of(name):
            raise UserError(f"--{role} {archive}: its member {name!a} {fault}; use another download")
        if (match := MEMBER.fullmatch(name)) and match[1] != "__MACOSX":
            top, alphabet, character, file, drawer = match.groups()
            if info.file_size > MEMBER_BYTES:
                what = f"its member {name!a} unpacks to {size_of(info.file_size)}, but at most {size_of(MEMBER_BYTES)}"
                raise UserError(f"--{role} {archive}: {what} are read; use another download")
            tops.add(top)
            identity = f"{alphabet}/{character}"
            drawings.append(Drawing(archive, name, role, identity, file, drawer, info.CRC, info.file_size))
    if not drawings:
        layout = "TOP/ALPHABET/characterNN/NNNN_DD.png"
        raise UserError(f"--{role} {archive}: no images of the form {layout} in it; give images_{role}.zip")
    other = "evaluation" if role == "background" else "background"
    if any(other in top for top in tops):
        raise UserError(f"--{role} {archive}: this is an archive of the {other} set ({min(tops)}); give images_{role}")
    return drawings


def merge(archives: list[str], role: str) -> list[Drawing]:
    """The drawings in all archives of a role, sorted by identity and file, each once.

    Raises:
        UserError: when two archives have different images of one name, or one character under two names.
    """
    by_name: dict[tuple[str, str], Drawing] = {}
    by_number: dict[str, Drawing] = {}
    for drawing in (one for archive in archives for one in list_drawings(archive, role)):
        known = by_name.setdefault((drawing.identity, drawing.file), drawing)
        if known.content != drawing.content:
            what = f"{known.archive} and {drawing.archive} have different images named {drawing.member}"
            raise UserError(f"{what}; give archives of one download")
        twin = by_number.setdefault(drawing.file.split("_")[0], drawing)
        if twin.identity != drawing.identity and twin.archive != drawing.archive:
            where = f"{twin.member} in {twin.archive} and {drawing.member} in {drawing.archive}"
            raise UserError(f"--{role}: {where} are the same character; give only one of these archives")
    return [by_name[key] for key in sorted(by_name)]


def extract(sets: dict[str, list[Drawing]], folder: Path) -> int:
    """Writes the drawings that `folder` lacks, under their paths. Returns the number written."""
    archives: dict[str, list[Drawing]] = {}
    for drawing in sets["background"] + sets["evaluation"]:
        archives.setdefault(drawing.archive, []).append(drawing)
    written = 0
    for archive, drawings in archives.items():
        with zipfile.ZipFile(archive) as opened:
            for drawing in drawings:
                try:
                    with opened.open(drawing.member) as member:
                        data = member.read(drawing.size)  # at a time, whatever it unpacks to
                        if len(data) < drawing.size or member.read(1):
                            raise zipfile.BadZipFile("its size is not the one in the table of contents")
                except Exception as error:  # as above
                    damage = f"{archive}: its member {drawing.member} cannot be unpacked ({error})"
                    raise UserError(f"{damage}; download the archive again") from error
                if not data.startswith(PNG_START):
                    what = f"its member {drawing.member} is not a PNG image"
                    raise UserError(f"{archive}: {what}; download the archive again")
                written += write_image(folder / drawing.path, data)
    return written


def prepare(args: argparse.Namespace) -> None:
    """Checks the tables of contents, extracts the images, and writes the data set."""
    sets = {"background": merge(args.background, "background"), "evaluation": merge([args.evaluation], "evaluation")}
    shared = {d.content for d in sets["background"]} & {d.content for d in sets["evaluation"]}
    if shared:
        number = counted(len(shared), "image")
        what = f"the background and the evaluation archives share {number} (such as {min(shared)[0]})"
        raise UserError(f"{what}; give images_background*.zip and images_evaluation.zip")

    tables, counts, checksum = {}, {}, 0
    for table, drawings in zip(("train", "test"), sets.values(), strict=True):
        tables[f"{table}.csv"] = [(d.identity, d.path, d.drawer) for d in drawings]
        counts[f"{table}_images"] = len(drawings)
        counts[f"{table}_identities"] = len({d.identity for d in drawings})
        checksum = zlib.crc32(repr([d.content for d in drawings]).encode(), checksum)
    archives = ", ".join(Path(archive).name for archive in (*args.background, args.evaluation))
    origin = f"{ORIGIN}: {archives} (checksum of contents {checksum:08x})"
    info = {"name": None, "origin": origin, "licence": LICENCE, "counts": counts}

    def make_images(folder: Path, paths: list[str]) -> None:
        print_line(f"{extract(sets, folder)} images extracted to {args.out}/images")

    write_with_images(args.out, Path(args.evaluation).resolve(), tables, info, make_images=make_images)
    for role, table in (("background", "train"), ("evaluation", "test")):
        images, characters = counts[f"{table}_images"], counts[f"{table}_identities"]
        published = PUBLISHED_CHARACTERS[role]
        print_line(f"{table}.csv: {images:,} images of {characters:,} characters")
        if characters != published or images != published * DRAWERS:
            print_line(f"  the published {role} set has {published * DRAWERS:,} images of {published:,} characters")
    both = {d.identity for d in sets["background"]} & {d.identity for d in sets["evaluation"]}
    if both:
        names = counted(len(both), "name")
        print_line(f"  {names} in both sets for different characters, such as {min(both)}")
    print_lines(next_step(args.out))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m dataset.prepare.omniglot", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--background", required=True, action="append", metavar="A.zip", help="images_background*.zip; may be repeated"
    )
    parser.add_argument("--evaluation", required=True, metavar="E.zip", help="images_evaluation.zip")
    parser.add_argument("--out", required=True, metavar="data/omniglot", help="folder of the prepared data set")
    return exit_code(lambda: prepare(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
