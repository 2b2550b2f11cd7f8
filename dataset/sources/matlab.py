"""Reads variables of MATLAB files (up to version 7.2; version 7.3 is HDF5)."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from runtime.errors import UserError


def read_variables(path: Path, *names: str) -> list[np.ndarray]:
    """The variables `names` of a file.

    Raises:
        UserError: when the file or a variable is not there, or the file is none of MATLAB's.
    """
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = scipy.io.loadmat(file)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except NotImplementedError:
        raise UserError(f"{path}: a MATLAB 7.3 file; save it with -v7, as its authors published it") from None
    except Exception as error:  # damaged files reach SciPy's reader as ValueError, TypeError, zlib.error, OSError ...
        raise UserError(f"{path}: not a readable MATLAB file ({error}); download it again") from error
    for name in names:
        if name not in found:
            there = ", ".join(key for key in found if not key.startswith("_")) or "nothing"
            raise UserError(f"{path}: no variable {name} in it (it holds {there}); is it the right file?")
    return [np.asarray(found[name]) for name in names]


def strings(cells: np.ndarray) -> list[str]:
    """The text in each cell of an array; empty cells are empty strings."""
    return [str(np.asarray(cell).ravel()[0]) if np.size(cell) else "" for cell in cells.ravel()]


def whole_numbers(values: np.ndarray, what: str) -> np.ndarray:
    """`values` as int64.

    Raises:
        UserError: starting with `what`, when some are no whole numbers.
    """
    if values.dtype.kind not in "iuf" or not np.all(np.isfinite(values)) or np.any(values != np.floor(values)):
        raise UserError(f"{what}: it must hold whole numbers")
    return values.astype(np.int64)
