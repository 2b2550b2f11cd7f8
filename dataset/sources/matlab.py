"""Variables of MATLAB files up to version 7.2 (version 7.3 is HDF5)."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from runtime.errors import UserError


def read_variables(path: Path, *names: str) -> list[Any]:
    """The variables `names` of a file: arrays without axes of length 1, structures as dictionaries.

    Raises:
        UserError: when the file or a variable is missing, or it is not a MATLAB file.
    """
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = scipy.io.loadmat(file, simplify_cells=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except NotImplementedError:
        raise UserError(f"{path}: this is a MATLAB 7.3 file; use the published file, or save it with -v7") from None
    except Exception as error:  # SciPy raises ValueError, TypeError, zlib.error, OSError ... for damaged files
        raise UserError(f"{path}: not a readable MATLAB file ({error}); download it again") from error
    for name in names:
        if name not in found:
            there = ", ".join(key for key in found if not key.startswith("_")) or "nothing"
            raise UserError(f"{path}: no variable {name} in it, only {there}; check that it is the right file")
    return [found[name] for name in names]


def whole_numbers(values: Any, axes: int, what: str) -> np.ndarray:
    """`values` as int64 with this number of axes.

    Raises:
        UserError: beginning with `what`, when they are anything else.
    """
    try:
        numbers = np.array(values, float, ndmin=axes)
    except (TypeError, ValueError):  # text, or lists of several lengths
        numbers = np.array(np.nan)
    if numbers.ndim != axes or not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any():
        raise UserError(f"{what}: the values must be whole numbers; check that it is the right file")
    return numbers.astype(np.int64)
