"""File systems without locks, fsync, reserved space, or semaphores: the work continues."""

import errno
import fcntl
import os

import h5py
import numpy as np
import pytest

from runtime import files, hdf5, parallel
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.hdf5 import open_hdf5
from runtime.locks import only_one

UNSUPPORTED = [errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EPERM, errno.ENOLCK]


def failing(number):
    def fails(*args, **options):
        raise OSError(number, os.strerror(number))

    return fails


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_without_flock_another_lock_is_used(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    with only_one(tmp_path / "lock", "in use"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(fcntl, "lockf", failing(errno.EAGAIN))
    with pytest.raises(UserError, match="in use"), only_one(tmp_path / "lock", "in use"):
        pass


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_without_any_lock_there_is_one_note(tmp_path, monkeypatch, capsys, number):
    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, failing(number))
    for _ in range(2):
        with only_one(tmp_path / "lock", "in use"):
            pass
    note = f"note: {tmp_path / 'lock'} cannot be locked on this file system ({os.strerror(number)})"
    assert capsys.readouterr().err == f"{note}; start no second command that writes the same files\n"


def test_a_file_is_written_where_nothing_can_be_synchronized(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    with replace_file(tmp_path / "a") as file:
        file.write("text")
    assert (tmp_path / "a").read_text() == "text"
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    expected = f"^cannot write {tmp_path / 'a'}: No space left on device$"
    with pytest.raises(UserError, match=expected), replace_file(tmp_path / "a") as file:
        file.write("other")
    assert (tmp_path / "a").read_text() == "text"


def test_hdf5_files_without_locks(tmp_path, monkeypatch):
    """HDF5 itself ignores only ENOSYS."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
    real = h5py.File

    def refuses(name, mode, locking):
        if locking:
            raise OSError(errno.ENOTSUP, "Unable to open file (unable to lock file, errno = 95)")
        return real(name, mode, locking=locking)

    monkeypatch.setattr(hdf5.h5py, "File", refuses)
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file["x"][:].tolist() == [0, 1, 2]


def test_an_hdf5_file_that_another_program_has_locked(tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    with open(tmp_path / "a.h5", "rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"a\.h5: another program has locked it, probably to write it; wait"):
            open_hdf5(tmp_path / "a.h5")


def test_without_semaphores_the_work_is_done_here(monkeypatch):
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", failing(errno.ENOSYS))
    assert list(parallel.run_parallel(str, range(3), 2)) == ["0", "1", "2"]
    assert {errno.ENOSYS, errno.ENOTSUP, errno.EINVAL} <= files.UNSUPPORTED
