"""The processes of one run: train.py, and evaluate.py alongside it."""

import ctypes
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from model.run.run_folder import RunFolder
from model.searching.trials import is_finished
from runtime import plugins
from runtime.errors import UserError

SCRIPTS = plugins.ROOT  # where train.py and evaluate.py are
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_LONGEST = 200  # characters of a reported error


class Job:
    """A run, trained and evaluated on one device."""

    def __init__(self, run: RunFolder, device: str) -> None:
        self.run = run
        self._device = device
        self._trainer: subprocess.Popen[bytes] | None = None
        self._evaluator: subprocess.Popen[bytes] | None = None
        self._again = False  # whether the evaluator was started a second time

    def look(self) -> str | None:
        """Starts the processes as soon as no other process uses the run, and checks on them.

        Returns:
            None while they work; in the end, why the run failed, or "" if it did not.
        """
        if self._trainer is None or self._evaluator is None:
            if self._is_free():
                self._trainer, self._evaluator = self._start("train"), self._start("evaluate")
            return None
        trained, evaluated = self._trainer.poll(), self._evaluator.poll()
        if evaluated and not trained:
            self.stop()
            return _reason(self.run.folder / "evaluate.log", evaluated)
        if trained is None:  # an evaluator that ended because of its timeout is started again below
            return None
        if trained or not self.run.done.exists():
            self.stop()
            return _reason(self.run.folder / "train.err", trained) if trained else "the training was stopped"
        if evaluated is None:
            return None
        if not self._again and not is_finished(self.run):
            self._evaluator, self._again = self._start("evaluate"), True
            return None
        return "" if self.run.best_json.exists() else "no checkpoint could be evaluated"

    def terminate(self) -> None:
        """Asks the processes to end; the trainer saves first. Call this once: a second signal would prevent that."""
        for process in (self._trainer, self._evaluator):
            if process and process.poll() is None:
                process.terminate()

    def stop(self) -> None:
        """Ends the processes, and waits for them."""
        self.terminate()
        self.wait()

    def wait(self) -> None:
        """Waits until the processes have ended."""
        for process in (self._trainer, self._evaluator):
            if process:
                process.wait()

    def _is_free(self) -> bool:
        """Whether no process of an earlier, killed search is still running."""
        try:
            with self.run.lock("train"), self.run.lock("evaluate"):
                return True
        except UserError:
            return False

    def _start(self, command: str) -> "subprocess.Popen[bytes]":
        """Starts a script. train.py writes its output to train.log itself; its errors go to train.err."""
        words = [sys.executable, str(SCRIPTS / f"{command}.py"), "--model_dir", str(self.run.folder)]
        words += ["--device", self._device]
        training = command == "train"
        with open(self.run.folder / ("train.err" if training else "evaluate.log"), "wb") as out:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if training else out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches only the search, which ends its processes once
                preexec_fn=_end_with_parent if _LIBC else None,
            )


def _end_with_parent() -> None:
    """Makes Linux send SIGTERM to the process when the search is killed. (On other systems it continues.)"""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reason(log: Path, code: int) -> str:
    """The error of a command, in one line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return textwrap.shorten(errors[-1], _LONGEST, placeholder=" ...")  # the error may name all images of a batch
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return lines[-1] if lines else f"exit code {code}"
