"""The heartbeat of a command that works on a run: its status, and a line in the log when there is nothing else."""

import _thread
import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from model.run.run_folder import RunFolder
from model.run.status import EVERY, Part, Saved, drop_ended, stamp, write_part
from runtime.errors import UserError
from runtime.log import Log
from runtime.progress import clock

_PACKAGES = ("model", "dataset", "visualization", "runtime")
# What a process that is started again takes over.
_KEPT = {"step", "total", "loss", "last_evaluation"}
QUIET = 600.0  # seconds without a line of the log, after which the heartbeat writes one


class Heartbeat:
    """A context in which a thread tells, every ten seconds, what the process does: also while it waits or hangs.

    A status that cannot be written stops nothing.
    """

    def __init__(self, run: RunFolder, command: str, log: Log) -> None:
        """`command` is "train", of which a run has one process, or "evaluate"."""
        self._run, self._command, self._log = run, command, log
        self._name = command if command == "train" else f"{command}-{socket.gethostname()}-{os.getpid()}"
        self._values: dict[str, Any] = {}
        self._finished = ("started", time.monotonic())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        with contextlib.suppress(OSError):
            if before := drop_ended(self._run, self._command):
                self._values = before.model_dump(include=_KEPT)
        self._values |= {"command": self._command, "pid": os.getpid(), "host": socket.gethostname()}
        self._values |= {"state": "running", "started": stamp()}
        self._write()
        self._thread.start()
        return self

    def set(self, **values: Any) -> None:
        """Sets fields of `Part`, such as `workers`. Takes no time: the thread writes them later."""
        self._values = self._values | values  # the thread has either the old ones or the new ones

    def finished(self, what: str, **values: Any) -> None:
        """Like `set`, after something is finished: `what`, such as "step 120"."""
        self._finished = (what, time.monotonic())
        self.set(**values)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(EVERY)
        if self._thread.is_alive():  # its file server may be dead: this thread must not wait for it, too
            return
        state, reason = "done", None
        if isinstance(error, KeyboardInterrupt):
            state, reason = "stopped", type(error).__name__
        elif error:
            state, reason = "failed", str(error) or type(error).__name__
        elif self._command == "train" and not self._run.done.exists():
            state, reason = "stopped", self._log.last
        self.set(state=state, reason=reason)
        self._write()

    def _beat(self) -> None:
        while not self._over.wait(EVERY):
            self._write()
            if time.monotonic() - self._log.told >= QUIET:
                self._tell()

    def _write(self) -> None:
        what, since = self._finished
        told = {"heartbeat": stamp(), "progress": what, "last_line": self._log.last}
        told["last_progress"] = stamp(time.time() - (time.monotonic() - since))
        with contextlib.suppress(OSError, ValueError):
            if self._command == "train":
                told["last_checkpoint"] = _newest_checkpoint(self._run.checkpoints)
            write_part(self._run, self._name, Part.model_validate(self._values | told))

    def _tell(self) -> None:
        what, since = self._finished
        ago = time.monotonic() - since
        stuck = f"; now in {_place()}" if ago >= QUIET else ""
        try:
            self._log.line(f"heartbeat: {what} {clock(ago)} ago{stuck}")
        except UserError:  # a full disk: the command will meet it, too
            pass
        except KeyboardInterrupt:  # nobody reads the output any more: see runtime.stopping
            _thread.interrupt_main()


def _place() -> str:
    """The function of the project in which the main thread is, such as "model.training.loop._next_batch"."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] not in _PACKAGES:
        frame = frame.f_back
    return f"{frame.f_globals['__name__']}.{frame.f_code.co_name}" if frame else "a library"


def _newest_checkpoint(folder: Path) -> Saved | None:
    """The first name in the list of checkpoints, and when it was written. Listing a large folder would take longer."""
    with contextlib.suppress(OSError, ValueError), open(folder / "checkpoint", encoding="utf-8") as file:
        name = Path(file.readline().partition('"')[2].rpartition('"')[0]).name
        return Saved(checkpoint=name, time=stamp((folder / f"{name}.index").stat().st_mtime))
    return None
