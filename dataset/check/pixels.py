"""Files that cannot be read, and a digest of the pixels of the others."""

import hashlib

import numpy as np

from dataset.check.contents import Contents
from dataset.check.finding import Finding
from dataset.loading.inspection import decode_files, inspect_files
from runtime.progress import Progress

_AT_ONCE = 4096  # files checked before they are decoded
_BYTES = 16  # of a digest: two of a million images are equal by chance once in 10^27


def look_at(contents: Contents) -> tuple[list[Finding], np.ndarray]:
    """Decodes every file once, with the decoder of training.

    Returns:
        Findings about files, and (N, 16) uint8: the digest of each file's pixels and orientation; 0 if it cannot be
        decoded. Files with equal pixels but different compression or metadata have equal digests.
    """
    files = contents.files
    problems: dict[int, str] = {}
    digests = np.zeros((len(files), _BYTES), np.uint8)
    progress = Progress("decoded", len(files), "images")
    for start in range(0, len(files), _AT_ONCE):
        lot = files[start : start + _AT_ONCE]
        seen = inspect_files(lot)
        problems |= {start + place: problem for place, problem in seen.problems.items()}
        sound = [place for place in range(len(lot)) if place not in seen.problems]
        for place, (problem, digest) in zip(sound, decode_files([lot[place] for place in sound], _digest), strict=True):
            if digest is None:
                problems[start + place] = problem or ""
            else:
                digests[start + place] = np.frombuffer(digest, np.uint8)
                digests[start + place, 0] ^= seen.orientations[place] - 1
            progress(start + place)
    progress(len(files))
    items = [f"{contents.names[index]}: {problem}" for index, problem in sorted(problems.items())]
    return [Finding("unreadable", "images that cannot be read", items, harms=True)], digests


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=_BYTES).digest()
