"""The paths and parameters of a run folder, and its file DONE. Needs no TensorFlow."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.configuration.loading import check_params, load_params, parse_overrides
from model.configuration.params import Params
from model.configuration.removed import from_record
from runtime import plugins
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import read_json_object, write_json
from runtime.locks import in_turn, only_one
from runtime.versions import find_versions

# Parameters that decide on early stopping: a change of one of them makes a stopped training resume.
_RULES = ("early_stopping_evaluations", "best_metric")
# What else params.resolved.json holds.
_RECORD = ("versions", "git_commit")
_NOT_TRAINED = ("eval_", "best_metric", "check_images", "corrupt_images")
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "tensorboard", "numpy", "scipy", "pillow", "h5py", "pydantic")


class RunFolder:
    """Paths of one run; docs/formats.md lists them with their writers."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.params_json = self.folder / "params.json"
        self.resolved_json = self.folder / "params.resolved.json"
        self.training_list = self.folder / "training_list.json"
        self.checkpoints = self.folder / "checkpoints"
        self.train_events = self.folder / "train"
        self.train_log = self.folder / "train.log"
        self.metrics = self.folder / "metrics.jsonl"
        self.plateau = self.folder / "plateau.jsonl"
        self.detailed_log = self.folder / "detailed"
        self.triples = self.folder / "triples"
        self.results = self.folder / "results.jsonl"
        self.best_json = self.folder / "best.json"
        self.best = self.folder / "best"
        self.done = self.folder / "DONE"
        self.status = self.folder / "status.json"
        self.status_parts = self.folder / ".status"

    def worker_log(self, number: int) -> Path:
        """The log of a worker other than the chief."""
        return self.folder / f"train.worker{number}.log"

    def eval_events(self, name: str) -> Path:
        return self.folder / "eval" / name

    def load_params(self, overrides: Sequence[str] = ()) -> Params:
        """The parameters of params.json, with overrides."""
        if not self.params_json.is_file() and (self.folder / "model.json").is_file():
            raise UserError(
                f"{self.folder}: an exported model; this command needs a run (in Python, `load` opens exported models)"
            )
        return load_params(self.params_json, list(overrides))

    def load_trained_params(self, overrides: Sequence[str] = ()) -> Params:
        """The parameters that training used: params.resolved.json, or params.json before the first start.

        Parameters without influence on training come from the present params.json.
        """
        if not self.resolved_json.exists():
            return self.load_params(overrides)
        values = self._recorded()
        if self.params_json.exists():
            written = self.load_params().model_dump(exclude_unset=True)
            values |= {key: value for key, value in written.items() if key.startswith(_NOT_TRAINED)}
        return check_params(values | parse_overrides(list(overrides)), source=str(self.resolved_json))

    def write_resolved(self, params: Params) -> None:
        """Writes params.resolved.json: every parameter, the package versions and the git commit."""
        versions = {"python": platform.python_version()} | find_versions(PACKAGES)
        write_json(self.resolved_json, params.model_dump() | {"versions": versions, "git_commit": _git_commit()})

    def _recorded(self) -> dict[str, Any]:
        """The parameters of params.resolved.json, translated to this version."""
        try:
            record = read_json_object(self.resolved_json)
            if "dataset" not in record:
                raise UserError(f"{self.resolved_json}: it lacks the parameter 'dataset'")
        except UserError as error:
            remedy = "put back a copy of it, or move it away to use the parameters of params.json"
            raise UserError(f"{error}; {remedy}") from error
        values = {key: value for key, value in record.items() if key not in _RECORD}
        return from_record(values, source=str(self.resolved_json))

    def changes(self, params: Params) -> list[str]:
        """One line per parameter that changed since the last start."""
        if not self.resolved_json.exists():
            return []
        defaults = {key: field.default for key, field in Params.model_fields.items()}  # for newer parameters
        before, now = defaults | self._recorded(), params.model_dump()
        return [
            f"{key} {json.dumps(before[key])} -> {json.dumps(value)}"
            for key, value in now.items()
            if before[key] != value
        ]

    def ended_white(self) -> bool:
        """Whether the end of training replaces the learned linear layers by a whitening."""
        return self.resolved_json.exists() and read_json_object(self.resolved_json).get("whitening") in ("end", "both")

    def share(self, command: str) -> contextlib.AbstractContextManager[None]:
        """Lets several processes of a command work in the run, while none holds its `lock`."""
        return in_turn(self.folder / f".{command}.lock", shared=True)

    @contextlib.contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Lets only one process of a command work in the run; the lock ends with the process."""
        with only_one(
            self.folder / f".{command}.lock",
            f"{self.folder}: another {command}.py is running in this folder; wait for it, or stop it",
        ):
            yield

    def check_writable(self, *folders: Path) -> None:
        """Creates the folders; raises a UserError if the run folder is not writable."""
        probe = self.folder / f".write-test.{os.getpid()}"
        try:
            for folder in (self.folder, *folders):
                folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except FileExistsError as error:
            what = f"{error.filename} is a file, and must be a folder; move it away"
            raise UserError(f"cannot write into the run folder {self.folder}: {what}") from error
        except OSError as error:
            raise UserError(f"cannot write into the run folder {self.folder}: {error.strerror or error}") from error


def write_done(run: RunFolder, step: int, reason: str | None = None) -> None:
    """Writes DONE: training ended by itself after `step` steps, with the reason if that was early."""
    with replace_file(run.done) as file:
        file.write(f"{step}\n" + (f"stopped early: {reason}\n" if reason else ""))


def read_done(run: RunFolder) -> tuple[int | None, str]:
    """The last step in DONE and the reason for early stopping; (None, "") if there is no DONE, or it is damaged."""
    try:
        step, _, reason = run.done.read_text(encoding="utf-8").strip().partition("\n")
        return int(step), reason
    except (OSError, ValueError):
        return None, ""


def stopped_early(run: RunFolder, params: Params, latest: int) -> str | None:
    """Why a run ended early, if it still counts as ended; None if there is something to train.

    Args:
        run: the run.
        params: the present ones. If their rules for early stopping differ, training resumes.
        latest: step of its newest checkpoint.
    """
    if not run.done.exists() or not run.resolved_json.exists():
        return None
    step, reason = read_done(run)
    before = read_json_object(run.resolved_json)
    same = all(before.get(name) == getattr(params, name) for name in _RULES)
    if not reason or step != latest or not same:
        return None
    return f"stopped early at step {step}: {reason.removeprefix('stopped early: ')}"


def code_digests() -> dict[str, str]:
    """A digest of each Python file that a training may use, by its path in the project."""
    folders = ("model", "dataset", "runtime")
    files = sorted(
        [plugins.ROOT / "train.py", *(file for name in folders for file in (plugins.ROOT / name).rglob("*.py"))]
    )
    return {str(file.relative_to(plugins.ROOT)): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def _git_commit() -> str | None:
    """The commit of the code, with "+changes" if files differ from it; None outside a git checkout."""
    words = ["git", "-C", str(plugins.ROOT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
