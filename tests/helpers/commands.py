"""Commands, as a user gives them: within the tests' process, or in one of their own."""

import contextlib
import io
import json
import os
import random
import runpy
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """What became of a command."""

    returncode: int
    stdout: str
    stderr: str


def command(*words: object) -> Done:
    """Runs `python WORDS` (a script or -m MODULE) in the project's folder, but within this process.

    TensorFlow is imported only once then, which takes longer than most commands. The state of the process is as before
    afterwards. What needs a process of its own (to send it a signal, to see what it imports, what its libraries print
    or how much memory it takes, `-c CODE`) is for `process` or `start`.
    """
    words = [str(word) for word in words]
    script, arguments = (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:])
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with _state_kept(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        sys.argv = [script, *arguments]
        try:
            if words[0] == "-m":
                runpy.run_module(script, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            traceback.print_exc()
            code = 1
    return Done(int(code), *(stream.buffer.getvalue().decode() for stream in (out, errors)))


def train_several(*runs: Path | list[object]) -> list[Done]:
    """Trains each run, one after the other: a folder, or a list of a folder and options."""
    return [command("train.py", "--model_dir", *(run if isinstance(run, list) else [run])) for run in runs]


def setting(**values: object) -> list[str]:
    """Overrides of parameters as words of the command line."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def process(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` in the project's folder, as a user would."""
    with start(*words, **options) as started:
        try:
            out, errors = started.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            started.kill()  # or leaving the block would wait for it
            raise
    return subprocess.CompletedProcess(started.args, started.returncode, out, errors)


def start(*words: object, **options: object) -> "subprocess.Popen[str]":
    """Starts `python WORDS` in the project's folder; what it prints comes through pipes."""
    line = [sys.executable, *map(str, words)]
    usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment(), "cwd": ROOT}
    return subprocess.Popen(line, **usual | options)


def wait_for(condition: Callable[[], bool], *processes: "subprocess.Popen[str]") -> None:
    """Waits until something has happened, as long as the processes live."""
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        for process in processes:
            assert process.poll() is None, "it ended too early"
        time.sleep(0.005)


def environment() -> dict[str, str]:
    """The environment of commands, whose output is read while they run. (conftest.py has hidden all GPUs.)"""
    return os.environ | {"PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def _state_kept() -> Iterator[None]:
    """Gives the block what a new process has, and puts back what a command changes."""
    folder, random_state = Path.cwd(), random.getstate()
    with mock.patch.dict(os.environ), mock.patch.multiple(sys, argv=[], path=[*sys.path]), warnings.catch_warnings():
        warnings.showwarning = _to_stderr  # not pytest's
        warnings.simplefilter("default")
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", ".*found in sys.modules")  # a module that a test has imported
        os.chdir(ROOT)
        try:
            _reset_tensorflow()
            yield
        finally:
            _reset_tensorflow()
            os.chdir(folder)
            random.setstate(random_state)


def _to_stderr(message: Warning, category: type[Warning], filename: str, lineno: int, *rest: object) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


def _reset_tensorflow() -> None:
    """Networks of earlier commands, names given, precision, determinism, devices' meetings: as in a new process."""
    if "keras" in sys.modules:
        import keras
        import tensorflow as tf
        from tensorflow.python.framework.config import disable_op_determinism  # not public, as what follows

        tf.distribute.MirroredStrategy._collective_key_base += 10**5
        keras.backend.clear_session(free_memory=False)  # Python collects it soon enough
        disable_op_determinism()
