"""The only writer of prepared data sets. It never overwrites other files, and writes dataset.json last."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset.formats.episodes import attributes_path, write_attributes, write_episodes
from dataset.formats.inside import check_inside
from dataset.formats.manifest import COLUMNS, Tables, read_rows, write_manifest
from dataset.formats.prepared import open_prepared
from runtime.errors import UserError
from runtime.files import temporary_name
from runtime.json_files import read_json, write_json

LISTS = ("train.csv", "query.csv", "gallery.csv", "multi_query.csv", "test.csv")
IMAGES = "images"
_INFO = ("name", "origin", "licence", "image_root", "counts")
_REMEDY = "choose another --out, or delete that folder first"
_PART = ".part"  # ending of an image while it is written

EpisodeList = tuple[str, list[tuple[str, str, list[str]]], Mapping[str, Sequence[object]]]  # name, episodes, attributes
MakeImages = Callable[[Path, list[str]], None]  # (folder to make them in, their paths in it)


def write_prepared(
    out: Path, tables: Tables, episodes: Iterable[EpisodeList] = (), info: dict[str, Any] | None = None
) -> None:
    """Writes CSV files and sets of episodes with their attributes, and removes the files of empty ones.

    dataset.json comes last, if its content `info` is given: a folder that has it is complete, including the images.
    """
    for name, rows in tables.items():
        if rows:
            write_manifest(out / name, rows)
        else:
            (out / name).unlink(missing_ok=True)
    for name, members, attributes in episodes:
        file = out / "episodes" / f"{name}.csv"
        if members:
            write_episodes(file, members)
            write_attributes(attributes_path(file), attributes)
        else:
            file.unlink(missing_ok=True)
            attributes_path(file).unlink(missing_ok=True)
    if info:
        write_json(out / "dataset.json", {name: info[name] for name in _INFO})


def write_with_images(
    out: str | Path,
    root: Path,
    tables: Tables,
    info: dict[str, Any],
    copy: bool = False,
    make_images: MakeImages | None = None,
) -> None:
    """Writes a data set of images below `root`: they stay there, or are copied, or others are made in OUT/images.

    A preparation may be repeated or completed. Other files are never overwritten.

    Args:
        out: the folder, as the user gave it.
        root: absolute path of the images, or of the files they are made from.
        info: dataset.json without `image_root`. A `name` of None means the name of `out`.

    Raises:
        UserError: when `out` holds other files than this preparation writes, or files with other content; for an image
            that would be outside OUT/images; or when writing fails.
    """
    folder, own = Path(out).resolve(), copy or make_images is not None
    inside = root.is_relative_to(folder)
    image_root = IMAGES if own else root.relative_to(folder).as_posix() if inside else root.as_posix()
    info = {**info, "name": info["name"] or folder.name, "image_root": image_root}
    paths = sorted({row[1] for rows in tables.values() for row in rows}) if own else []
    if folder.exists():
        _refuse_other_content(folder, root, tables, info, paths)
    check_inside(folder / IMAGES, paths, f"--out {out}")
    try:
        if make_images:
            make_images(folder / IMAGES, paths)
        elif copy:
            copy_images(root, folder / IMAGES, paths)
        write_prepared(folder, tables, info=info)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}") from error


def refuse_overlap(out: str, root: Path) -> None:
    """Raises a `UserError` when --out and the images to copy are inside each other."""
    folder = Path(out).resolve()
    if folder.is_relative_to(root) or root.is_relative_to(folder):
        raise UserError(f"--copy: --out {out} and the images {root} overlap; name another --out, or omit --copy")


def _refuse_other_content(out: Path, root: Path, tables: Tables, info: dict[str, Any], own: list[str]) -> None:
    """Raises a `UserError` when `out` has other files. `own` are the paths that will be in OUT/images."""
    if not out.is_dir():
        raise UserError(f"--out {out}: this is a file; name a folder")
    present = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    if root == out:
        foreign = sorted(present & {"episodes"})
    else:
        inside = {root.relative_to(out).parts[0]} if root.is_relative_to(out) else set()  # the images themselves
        foreign = sorted(present - {"dataset.json", *LISTS, *([IMAGES] if own else [])} - inside)
    if own and (out / IMAGES).is_dir():
        there = {f.relative_to(out).as_posix() for f in (out / IMAGES).rglob("*") if f.is_file() and f.suffix != _PART}
        foreign += sorted(there.difference(f"{IMAGES}/{path}" for path in own))
    if foreign:
        raise UserError(f"--out {out}: it already has other files ({', '.join(foreign[:3])} ...); {_REMEDY}")
    for name in LISTS:
        rows = tables.get(name, [])
        table = [COLUMNS[: len(rows[0])], *rows] if rows else []
        if name in present and [tuple(row) for row in read_rows(out / name)] != table:
            raise UserError(f"--out {out}: its {name} differs from the one to write; {_REMEDY}")
    if "dataset.json" in present and read_json(out / "dataset.json") != info:
        raise UserError(f"--out {out}: it is another prepared data set, see its dataset.json; {_REMEDY}")


def copy_images(source: Path, target: Path, paths: list[str]) -> None:
    """Copies images that are missing in `target`. A copy gets its name only when it is complete."""
    for path in paths:
        old, new = source / path, target / path
        stat = old.stat()
        if not new.exists() or (new.stat().st_size, new.stat().st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            with whole(new) as part:
                shutil.copyfile(old, part)
                with contextlib.suppress(OSError):  # some file systems keep no times: then it is copied again next time
                    shutil.copystat(old, part)


def write_image(file: Path, data: bytes) -> bool:
    """Writes an image unless the file already has this content. Returns whether it wrote."""
    if file.is_file() and file.read_bytes() == data:
        return False
    with whole(file) as part:
        part.write_bytes(data)
    return True


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yields a temporary name to write an image to. It is renamed to `file` at the end of the block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(temporary_name(file, _PART).name[1:])  # not hidden
    yield part
    part.replace(file)


def listed(others: dict[str, int]) -> str:
    """`12 .txt, 3 .gif`."""
    return ", ".join(f"{count} {extension}" for extension, count in sorted(others.items(), key=lambda item: -item[1]))


def next_step(out: str) -> str:
    """The last lines of a preparation: how to train on the data set."""
    return (
        f'next: write {{"dataset": "{short_name(out)}"}} into experiments/NAME/params.json, then\n'
        "      python train.py --model_dir experiments/NAME"
    )


def short_name(out: str) -> str:
    """The shortest value of the parameter `dataset` for a prepared data set: `photos` for `data/photos`."""
    folder = Path(out).resolve()
    with contextlib.suppress(UserError):
        if open_prepared(folder.name).folder.resolve() == folder:
            return folder.name
    return out
