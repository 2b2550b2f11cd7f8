"""What the processes of a run do: RUN/status.json, and `train.py --status RUN`. Needs no TensorFlow.

Each process replaces a file of its own, `.status/<process>.json`, and then status.json, which joins all of these. So no
process can lose what another one wrote, on any file system; status.json may lack the last heartbeat of another.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import json_text
from runtime.progress import clock

EVERY = 10.0  # seconds between two heartbeats of a process
LATE = 6 * EVERY  # without a heartbeat it is dead, or cannot write


class Saved(BaseModel):
    """A checkpoint, and when it was written."""

    checkpoint: str
    time: AwareDatetime


class Evaluated(BaseModel):
    """The metric of a checkpoint by which the best is chosen, and when it was found."""

    checkpoint: str
    set: str
    metric: str
    value: float
    time: AwareDatetime


class Worker(BaseModel):
    """Another worker of a training over several hosts."""

    worker: int
    pid: int
    host: str


class Part(BaseModel):
    """What one process says. `state` is "running", "done", "stopped" or "failed"; a killed process stays "running".

    `progress` is the last thing finished, such as "step 120", and `last_line` the last line of the log.
    """

    command: str
    pid: int = Field(gt=0, lt=2**31)
    host: str
    state: str
    reason: str | None = None
    started: AwareDatetime
    heartbeat: AwareDatetime
    progress: str
    last_progress: AwareDatetime
    last_line: str = ""
    # only a training
    step: int | None = None
    total: int | None = None
    loss: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = Field(None, allow_inf_nan=False)
    last_checkpoint: Saved | None = None
    workers: list[Worker] = []
    # only an evaluator
    last_evaluation: Evaluated | None = None

    def standing(self) -> str:
        """ "running", or how it ended as far as that is known."""
        if self.state != "running":
            return f"{self.state}: {self.reason}" if self.reason else self.state
        here = self.host == socket.gethostname()
        if here and not _exists(self.pid):
            return f"not running: it was killed, or crashed, {clock(_age(self.heartbeat))} after its last heartbeat"
        if (late := _age(self.heartbeat)) > LATE:
            what = "it is suspended, or cannot write" if here else "it is dead, or cannot write"
            return f"no heartbeat for {clock(late)}: {what}"
        return "running"

    def runs(self) -> bool:
        """Whether the process seems to run."""
        return self.standing() == "running"


# What status.json has of the training, and of every process.
_TRAINING = ("state", "reason", "step", "total", "loss", "images_per_second", "seconds_left", "last_checkpoint")
_PROCESS = {
    *("command", "pid", "host", "state", "reason"),
    *("started", "heartbeat", "progress", "last_progress", "last_line"),
}


def write_part(run: RunFolder, name: str, part: Part) -> None:
    """Replaces the part of a process, and status.json.

    They are not flushed to disk: a part that a power failure damages counts as missing.

    Raises:
        OSError: when they cannot be written.
    """
    run.status_parts.mkdir(exist_ok=True)
    _replace(run.status_parts / f"{name}.json", part.model_dump(mode="json", exclude_none=True), name)
    _replace(run.status, join(read_parts(run).values()), name)


def _replace(file: Path, content: dict[str, Any], writer: str) -> None:
    temporary = file.parent / f".{file.name}.{writer}.tmp"
    temporary.write_text(json_text(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)


def read_parts(run: RunFolder) -> dict[str, Part]:
    """The parts of all processes by name, that of the training first; damaged ones are skipped."""
    parts = {}
    for file in sorted(run.status_parts.glob("*.json"), key=lambda file: (file.stem != "train", file.stem)):
        with contextlib.suppress(OSError, ValidationError):
            parts[file.stem] = Part.model_validate_json(file.read_bytes())
    return parts


def drop_ended(run: RunFolder, command: str) -> Part | None:
    """Removes the parts of earlier processes of a command; returns the newest: the next process continues from it."""
    ended = {name: each for name, each in read_parts(run).items() if each.command == command and not each.runs()}
    for name in ended:
        (run.status_parts / f"{name}.json").unlink(missing_ok=True)
    return max(ended.values(), key=lambda each: each.heartbeat, default=None)


def join(parts: Iterable[Part]) -> dict[str, Any]:
    """The content of status.json."""
    parts = list(parts)
    training = next((each.model_dump(mode="json") for each in parts if each.command == "train"), {})
    evaluations = [each.last_evaluation for each in parts if each.last_evaluation]
    last = max(evaluations, key=lambda each: each.time, default=None)
    processes = [each.model_dump(mode="json", include=_PROCESS) for each in parts]
    workers = [{"command": "train"} | each for each in training.get("workers", [])]
    return {
        **{key: training.get(key) for key in _TRAINING},
        "last_evaluation": last and last.model_dump(mode="json"),
        "processes": [*processes, *workers],
    }


def status_text(folder: Path) -> str:
    """Lines that tell a person what the processes of a run do.

    Raises:
        UserError: when there is no status.
    """
    parts = read_parts(RunFolder(folder)).values()
    if not parts:
        raise UserError(f"{folder}: no status of a run; train.py --model_dir {folder} writes one")
    lines = []
    for part in parts:
        rows = [("", f"{part.progress}, {clock(_age(part.last_progress))} ago")]
        if part.step is not None and part.total:
            left = f", {clock(part.seconds_left)} left" if part.seconds_left is not None else ""
            rows.append(("step", f"{part.step:,} of {part.total:,}{left}"))
        if part.loss is not None:
            rows.append(("loss", f"{part.loss:.4f}"))
        if part.images_per_second is not None:
            rows.append(("speed", f"{part.images_per_second:,.0f} images/s"))
        if saved := part.last_checkpoint:
            rows.append(("last checkpoint", f"{saved.checkpoint}, {clock(_age(saved.time))} ago"))
        if last := part.last_evaluation:
            value = f"{last.set}/{last.metric} {last.value:.4f}"
            rows.append(("last evaluation", f"{last.checkpoint}: {value}, {clock(_age(last.time))} ago"))
        rows += [(f"worker {each.worker}", f"pid {each.pid} on {each.host}") for each in part.workers]
        rows.append(("log", part.last_line))
        lines.append(f"{part.command}, pid {part.pid} on {part.host}: {part.standing()}")
        lines += [f"  {name or 'progress':<16} {text}" for name, text in rows if text]
    return "\n".join(lines)


def stamp(seconds: float | None = None) -> datetime:
    """A time given in seconds since 1970, by default now, as in status.json."""
    return datetime.fromtimestamp(int(time.time() if seconds is None else seconds), timezone.utc)


def _age(moment: datetime) -> float:
    """Seconds since a time, at least 0: clocks of hosts differ."""
    return max(time.time() - moment.timestamp(), 0.0)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True
