"""Variables of MATLAB files up to version 7.2 (version 7.3 is HDF5).

SciPy's reader crashes on some damaged files. So it runs in a process of its own.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from runtime.child import ChildError, run_in_child
from runtime.errors import UserError
from runtime.input_files import check_file, kind_of

_MOST_BYTES = 2**28  # of a file; the largest one of the supported data sets has 20 MB
_MEMORY = 2**30
_SECONDS = 8, 20  # to read a file, and more for each MB


def read_variables(path: Path, *names: str) -> list[Any]:
    """The variables `names` of a file: arrays without axes of length 1, structures as dictionaries.

    Raises:
        UserError: when the file or a variable is missing, or it is not a MATLAB file.
    """
    check_file(path, _MOST_BYTES)
    with open(path, "rb") as file:
        what = kind_of(file.read(1024))
    if what and what != "a MATLAB file":
        raise UserError(f"{path}: this is {what}, not a MATLAB file of version 5; use the published file")
    seconds = _SECONDS[0] + _SECONDS[1] * path.stat().st_size / 1e6
    try:
        return list(run_in_child(_read, path, names, seconds=seconds, memory=_MEMORY))
    except (ChildError, ValueError) as error:
        raise UserError(f"{path}: not a readable MATLAB file ({error}); download it again") from error


def _read(path: Path, names: tuple[str, ...]) -> Iterator[Any]:
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SciPy, about damaged names
        found: dict[str, Any] = scipy.io.loadmat(file, simplify_cells=True)
    for name in names:
        if name not in found:
            there = ", ".join(key for key in found if not key.startswith("_")) or "nothing"
            raise UserError(f"{path}: no variable {name} in it, only {there}; check that it is the right file")
        yield found[name]


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
