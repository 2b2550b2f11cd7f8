"""Saves and loads the hard triples of an epoch, for a run that resumes within it. Needs no TensorFlow."""

import re
from pathlib import Path

import numpy as np

from runtime.files import replace_file


def save_triples(folder: Path, epoch: int, triples: np.ndarray) -> None:
    """Saves the triples of an epoch. Keeps those of the epoch before it, and removes all others.

    Files of later epochs are from before the run resumed at an earlier step.

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
    """The saved triples (A, 3) int64 of an epoch; None if there are none or the file is damaged."""
    try:
        with open(Path(folder) / f"epoch-{epoch}.npy", "rb") as file:
            triples = np.lib.format.read_array(file, allow_pickle=False)
    except Exception:  # a damaged header gives many kinds of errors; the triples are mined again
        return None
    return triples if triples.ndim == 2 and triples.shape[1] == 3 and triples.dtype == np.int64 else None
