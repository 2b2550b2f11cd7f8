"""How the evaluators of a run divide their work: each checkpoint is evaluated by one, and one of them writes events."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from model.evaluation.best import BORROWED
from model.run.checkpoint_files import step_of
from model.run.run_folder import RunFolder
from runtime.locks import ByteLocks

_EVENTS = 2**62  # this byte is for writing events, those before it are steps


class Claims:
    """The claims of this process, among all evaluators of a run, on any hosts that share its folder.

    A claim on a checkpoint is a lock on the byte whose number is the step. It ends with its process, so another
    evaluator takes over what a killed one had begun. One object per process.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run, self._locks = run, ByteLocks(run.folder / ".claims.lock")

    def __enter__(self) -> "Claims":
        for folder in self._run.folder.glob(f"{BORROWED}*"):  # of killed evaluators, and of those at work
            with self.first([folder]) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks.close()

    @contextlib.contextmanager
    def first(self, checkpoints: Iterable[Path]) -> Iterator[Path | None]:
        """Claims the first of these checkpoints that no other evaluator has claimed; None if there is none."""
        mine = next((path for path in checkpoints if self._locks.take(step_of(path))), None)
        try:
            yield mine
        finally:
            if mine:
                self._locks.release(step_of(mine))

    def others(self) -> bool:
        """Whether another evaluator has a claim. Ask only while this one has none."""
        alone = self._locks.take(0, _EVENTS)
        if alone:
            self._locks.release(0, _EVENTS)
        return not alone

    def writes_events(self) -> bool:
        """Whether this evaluator writes the event files: the first one that asks does, until it ends."""
        return self._locks.take(_EVENTS)
