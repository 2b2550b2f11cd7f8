"""Images that lie in a tar archive, as its authors gave it out.

An archive is only read: names in it are compared with those that are wanted, and never used to write a file. So nothing
is written outside of the folder for the images, whatever the archive says (absolute names, `..`, links).
"""

import io
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dataset.formats.writing import write_image
from dataset.loading.inspection import inspect_file, strict_decoding
from runtime.errors import UserError
from runtime.progress import Progress

ENDINGS = (".tgz", ".tar.gz", ".tar")
_BLOCK = 1 << 20  # bytes


def find_archive(root: Path, folder: str) -> Path | None:
    """The archive of a folder, beside the place where the folder would be; None when there is none."""
    return next((root / f"{folder}{end}" for end in ENDINGS if (root / f"{folder}{end}").is_file()), None)


def read_images(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted images that are in the archive, in its order: (path, content of the file).

    Raises:
        UserError: when it is no tar archive, or damaged.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                if path in wanted and member.isfile():
                    yield path, tar.extractfile(member).read()
                tar.members = []  # else it remembers all of them
            while tar.fileobj.read(_BLOCK):  # the checksum of gzip stands at the end
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{archive}: not a readable tar archive ({reason}); download it again") from error


def look_at_images(archive: Path, wanted: set[str], full: bool) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """What is wrong with images of the archive, by path, and the (W, H) of the others.

    Args:
        full: decode every image; otherwise as `inspect_file` looks at headers.

    Raises:
        UserError: as `read_images`.
    """
    problems, sizes = {}, {}
    progress = Progress("looked at", len(wanted), f"images of {archive.name}")
    with strict_decoding(), tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "image"
        for done, (path, data) in enumerate(read_images(archive, wanted), start=1):
            copy.write_bytes(data)
            _, problem = inspect_file(str(copy), full)
            copy.unlink()  # a file that is replaced is flushed to the disk by some file systems, at a high price
            if problem:
                problems[path] = problem
            else:
                with Image.open(io.BytesIO(data)) as image:
                    sizes[path] = image.size
            progress(min(done, len(wanted) - 1))
        progress(len(wanted))
    problems |= {
        path: f"not in {archive.name}" for path in sorted(wanted) if path not in problems and path not in sizes
    }
    return problems, sizes


def extract_images(archive: Path, folder: Path, wanted: set[str]) -> int:
    """Writes the wanted images that `folder` does not have yet, under their paths; the number written.

    Raises:
        UserError: as `read_images`, and when one is not in the archive.
    """
    progress, written, found = Progress("extracted", len(wanted), "images"), 0, set()
    for path, data in read_images(archive, wanted):
        written += write_image(folder / path, data)
        found.add(path)
        progress(len(found))
    refuse_missing(archive, wanted, found)
    return written


def refuse_missing(archive: Path, wanted: set[str], found: set[str]) -> None:
    """Raises a `UserError` that names the first image that was not found."""
    if missing := sorted(wanted - found):
        what = f"{len(missing)} of {len(wanted)} images are not in it, the first: {missing[0]}"
        raise UserError(
            f"{archive}: {what}; download it again, or leave them out with --skip_broken and --check headers"
        )
