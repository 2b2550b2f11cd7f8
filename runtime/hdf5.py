"""Opens HDF5 files, also where files cannot be locked."""

import errno
from pathlib import Path
from typing import Any

import h5py

from runtime.errors import UserError


def open_hdf5(file: Path | str, mode: str = "r", **options: Any) -> h5py.File:
    """The open file.

    HDF5 locks files that it opens. Where the file system has no locks, it is opened without one.

    Raises:
        UserError: when another program holds a lock.
        OSError: when the file is missing or is not HDF5.
    """
    try:
        return h5py.File(file, mode, locking="best-effort", **options)
    except OSError as error:
        if "unable to lock file" not in str(error):
            raise
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
            raise UserError(
                f"{file}: another program has locked it, probably to write it; wait until it has closed the file"
            ) from error
    return h5py.File(file, mode, locking=False, **options)
