"""The hard triples of an epoch, kept for a run that is resumed within it. Needs no TensorFlow."""

import re
from pathlib import Path

import numpy as np

from runtime.files import replace_file


def save_triples(folder: Path, epoch: int, triples: np.ndarray) -> None:
    """Keeps the triples of an epoch in `folder`, with those of the newest epoch before it; all others are removed.

    Those of later epochs belong to a history that is being trained anew.

    Raises:
        UserError: when the file cannot be written.
    """
    folder = Path(folder)
    with replace_file(folder / f"epoch-{epoch}.npy", "wb") as file:
        np.save(file, np.asarray(triples, np.int64), allow_pickle=False)
    files = {int(name[1]): each for each in folder.iterdir() if (name := re.fullmatch(r"epoch-(\d+)\.npy", each.name))}
    kept = sorted(number for number in files if number <= epoch)[-2:]
    for number, old in files.items():
        if number not in kept:
            old.unlink(missing_ok=True)


def load_triples(folder: Path, epoch: int) -> np.ndarray | None:
    """The triples (A, 3) int64 that `save_triples` kept for an epoch; None when there are none, or they are damaged."""
    try:
        with open(Path(folder) / f"epoch-{epoch}.npy", "rb") as file:
            triples = np.lib.format.read_array(file, allow_pickle=False)
    except Exception:  # whatever NumPy makes of a damaged header: mining again mends it
        return None
    return triples if triples.ndim == 2 and triples.shape[1] == 3 and triples.dtype == np.int64 else None
