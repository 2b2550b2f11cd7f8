"""Omniglot's official archives -> a prepared data set with the published split.

    python -m dataset.prepare.omniglot --background images_background.zip --evaluation images_evaluation.zip \\
        --out data/omniglot

1 623 handwritten characters of 50 alphabets, each drawn by 20 people (Lake, Salakhutdinov, Tenenbaum: Human-level
concept learning through probabilistic program induction, Science 2015). The 964 background characters are for training
(train.csv), the 659 evaluation characters for testing, all against all (test.csv). The small archives
images_background_small1.zip and images_background_small2.zip may stand for the large one; give --background twice.
"""

import argparse
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from dataset.formats import writing
from dataset.formats.manifest import Tables
from runtime.errors import UserError, exit_code

ORIGIN = "Omniglot, https://github.com/brendenlake/omniglot"
LICENCE = "MIT (Copyright (c) 2015 Brenden Lake)"
PUBLISHED_CHARACTERS = {"background": 964, "evaluation": 659}
DRAWERS = 20
PNG_START = b"\x89PNG\r\n\x1a\n"
MEMBER = re.compile(r"([^/]+)/([^/]+)/(character\d+)/(\d+_(0[1-9]|1\d|20)\.png)")  # top, alphabet, character, file


@dataclass(frozen=True)
class Drawing:
    """One image of an archive; `crc` and `size` are those of its uncompressed bytes."""

    archive: str
    member: str
    identity: str
    file: str
    drawer: str
    crc: int
    size: int

    @property
    def content(self) -> tuple[str, int, int]:
        """What an image is known by; its file name NNNN_DD.png has the number of the character among all 1 623."""
        return self.file, self.crc, self.size


def list_drawings(archive: str, role: str) -> list[Drawing]:
    """The drawings of one archive, from its table of contents.

    Raises:
        UserError: when it is missing, no zip, unsafe, of another layout, or the archive of the other role.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
    except FileNotFoundError:
        raise UserError(f"--{role} {archive}: no such file") from None
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"--{role} {archive}: not a readable zip archive ({error}); download it again") from error

    drawings, tops = [], set()
    for info in members:
        name = info.filename
        if ".." in PureWindowsPath(name).parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            raise UserError(f"--{role} {archive}: its member {name!r} points outside of the archive; do not use it")
        if (match := MEMBER.fullmatch(name)) and match[1] != "__MACOSX":
            top, alphabet, character, file, drawer = match.groups()
            tops.add(top)
            identity = f"{alphabet}/{character}"
            drawings.append(Drawing(archive, name, identity, file, drawer, info.CRC, info.file_size))
    if not drawings:
        layout = "TOP/ALPHABET/characterNN/NNNN_DD.png"
        raise UserError(f"--{role} {archive}: no images of the form {layout} in it; give images_{role}.zip")
    other = "evaluation" if role == "background" else "background"
    if any(other in top for top in tops):
        raise UserError(f"--{role} {archive}: this is an archive of the {other} set ({min(tops)}); give images_{role}")
    return drawings


def merge(archives: list[str], role: str) -> list[Drawing]:
    """The drawings of all archives of a role, sorted by identity and file, each once.

    Raises:
        UserError: when two archives hold different images under one name, or one character under two names.
    """
    by_name: dict[tuple[str, str], Drawing] = {}
    by_number: dict[str, Drawing] = {}
    for drawing in (one for archive in archives for one in list_drawings(archive, role)):
        known = by_name.setdefault((drawing.identity, drawing.file), drawing)
        if known.content != drawing.content:
            raise UserError(f"{known.archive} and {drawing.archive} hold different images as {drawing.member}")
        twin = by_number.setdefault(drawing.file.split("_")[0], drawing)
        if twin.identity != drawing.identity and twin.archive != drawing.archive:
            where = f"{twin.member} in {twin.archive} and {drawing.member} in {drawing.archive}"
            raise UserError(f"--{role}: {where} are one character; give only one of these archives")
    return [by_name[key] for key in sorted(by_name)]


def image_path(role: str, drawing: Drawing) -> str:
    """Path of an extracted drawing, relative to the image root."""
    return f"{role}/{drawing.identity}/{drawing.file}"


def extract(drawings: list[Drawing], role: str, root: Path) -> int:
    """Writes the drawings that are not there yet, whole and with the right bytes; the number written."""
    pending: dict[str, list[Drawing]] = {}
    for drawing in drawings:
        target = root / image_path(role, drawing)
        # An interrupted run leaves at most short files, so what is there is compared by content.
        if not target.is_file() or zlib.crc32(target.read_bytes()) != drawing.crc:
            pending.setdefault(drawing.archive, []).append(drawing)
    for folder in {(root / image_path(role, d)).parent for group in pending.values() for d in group}:
        folder.mkdir(parents=True, exist_ok=True)
    for archive, group in pending.items():
        with zipfile.ZipFile(archive) as opened:
            for drawing in group:
                try:
                    data = opened.read(drawing.member)
                except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                    damage = f"{archive}: its member {drawing.member} cannot be unpacked ({error})"
                    raise UserError(f"{damage}; download the archive again") from error
                if not data.startswith(PNG_START):
                    raise UserError(f"{archive}: its member {drawing.member} is no PNG image")
                (root / image_path(role, drawing)).write_bytes(data)
    return sum(map(len, pending.values()))


def is_complete(out: Path, tables: Tables, info: dict, sizes: dict[str, int]) -> bool:
    """Whether `out` already holds exactly this data set; sizes: path of every image -> bytes.

    Raises:
        UserError: when `out` holds another data set.
    """
    if not out.exists():
        return False
    writing.refuse_foreign(out, sorted(writing.visible(out) - {"dataset.json", writing.IMAGES, *tables}))
    if writing.other_info(out, info) or writing.other_list(out, tables):
        raise UserError(f"--out {out}: it holds another data set; {writing.REMEDY}")
    try:
        images_there = all((out / writing.IMAGES / path).stat().st_size == size for path, size in sizes.items())
    except OSError:  # one is missing
        return False
    return images_there and all((out / name).exists() for name in ("dataset.json", *tables))


def prepare(args: argparse.Namespace) -> int:
    """Reads the tables of contents, checks them, extracts, writes the data set."""
    out = Path(args.out)
    writing.refuse_file(out)
    sets = {"background": merge(args.background, "background"), "evaluation": merge([args.evaluation], "evaluation")}
    shared = {d.content for d in sets["background"]} & {d.content for d in sets["evaluation"]}
    if shared:
        what = f"the background and the evaluation archives share {len(shared)} images ({min(shared)[0]} ...)"
        raise UserError(f"{what}; give images_background*.zip and images_evaluation.zip")

    tables, counts, checksum = {}, {}, 0
    for role, table in (("background", "train"), ("evaluation", "test")):
        drawings = sets[role]
        tables[f"{table}.csv"] = [(d.identity, image_path(role, d), d.drawer) for d in drawings]
        counts[f"{table}_images"] = len(drawings)
        counts[f"{table}_identities"] = len({d.identity for d in drawings})
        checksum = zlib.crc32(repr([d.content for d in drawings]).encode(), checksum)
    archives = ", ".join(Path(archive).name for archive in (*args.background, args.evaluation))
    info = {"name": out.resolve().name, "origin": f"{ORIGIN}: {archives} (checksum of contents {checksum:08x})"}
    info |= {"licence": LICENCE, "image_root": writing.IMAGES, "counts": counts}

    sizes = {image_path(role, d): d.size for role, drawings in sets.items() for d in drawings}
    if is_complete(out, tables, info, sizes):
        print(f"{args.out} is complete already: nothing to do")
        return 0
    try:
        written = sum(extract(drawings, role, out / writing.IMAGES) for role, drawings in sets.items())
    except OSError as error:
        raise UserError(f"--out {out}: cannot extract: {error}") from error
    writing.write_prepared(out, tables, info=info)
    report(args.out, sets, written)
    return 0


def report(out: str, sets: dict[str, list[Drawing]], written: int) -> None:
    """Says what was made, how it compares with the published counts, and what to do next."""
    for role, table in (("background", "train.csv"), ("evaluation", "test.csv")):
        characters, published = {d.identity for d in sets[role]}, PUBLISHED_CHARACTERS[role]
        print(f"{table}: {len(sets[role])} images of {len(characters)} characters")
        if len(characters) != published or len(sets[role]) != published * DRAWERS:
            print(f"  the published {role} set has {published * DRAWERS} images of {published} characters")
    both = {d.identity for d in sets["background"]} & {d.identity for d in sets["evaluation"]}
    if both:
        print(f"  {len(both)} names ({min(both)} ...) stand in both sets, for different characters")
    print(f"{written} images extracted to {out}/images")
    print(writing.next_step(out))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    text = "Omniglot's official archives -> a prepared data set with the published split (background / evaluation)."
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.omniglot", description=text)
    parser.add_argument(
        "--background", required=True, action="append", metavar="A.zip", help="images_background*.zip; may be repeated"
    )
    parser.add_argument("--evaluation", required=True, metavar="E.zip", help="images_evaluation.zip")
    parser.add_argument("--out", required=True, metavar="data/omniglot", help="folder of the prepared data set")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
