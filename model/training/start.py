"""May this run start? What train.py checks, says and undoes around a training. Needs no TensorFlow."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from dataset.loading.training_set import TrainingSet
from model.configuration.loading import load_params
from model.configuration.params import Params
from model.run.checkpoint_files import find_weights, list_checkpoints
from model.run.run_folder import RunFolder, stopped_early, write_done
from model.training.curriculum import late_beginnings
from model.training.supervisor import Watched
from runtime.errors import UserError


def start_run(run: RunFolder, source: Path) -> None:
    """Copies a params.json into a new run folder; one that is there already must be the same."""
    load_params(source)
    if run.params_json.exists():
        if run.params_json.read_bytes() != source.read_bytes():
            raise UserError(
                f"{run.params_json} exists and differs from {source}; leave out --params, or take a new run"
            )
        return
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, run.params_json)
    except OSError as error:
        raise UserError(f"cannot write into the run folder {run.folder}: {error.strerror or error}") from error


def check_start(run: RunFolder, params: Params, data: TrainingSet, watched: Watched | None) -> None:
    """Finds out before TensorFlow is loaded what would stop the training, or spoil it. Makes the run's folders.

    Raises:
        UserError: when there is no metric to watch, the run cannot be written, the weights to start from are missing,
            or the run has results of checkpoints that are gone.
    """
    asked = [name for name in ("plateau_evaluations", "early_stopping_evaluations") if getattr(params, name)]
    if asked and watched is None:
        raise UserError(f"{asked[0]} needs figures, but {data.prepared.folder} has no evaluation set; set it to null")
    run.check_writable(run.checkpoints, run.train_events)
    if list_checkpoints(run.checkpoints):
        return
    if params.warm_start_from:
        find_weights(params.warm_start_from)
    for old in (run.results, run.best_json):
        if old.exists():
            raise UserError(f"{old} has results of checkpoints that are gone; take a new --model_dir, or remove it")


def nothing_to_do(run: RunFolder, params: Params, total: int) -> list[str]:
    """Why there is nothing to train, in lines for the user; none if there is something.

    A run that has its last checkpoint already, as after a kill, gets its DONE.
    """
    listed = list_checkpoints(run.checkpoints)
    if not listed:
        return []
    step, latest = listed[-1]
    if early := stopped_early(run, params, step):
        reason = (
            f"nothing to do: {early}; to go on, give another early_stopping_evaluations (null: never) or best_metric"
        )
    elif step >= total and run.resolved_json.exists():
        write_done(run, step)
        reason = f"nothing to do: {latest} is at step {step} of {total}"
    else:
        return []
    return [reason, *(f"not used, as nothing is trained: {change}" for change in run.changes(params))]


@contextlib.contextmanager
def reopened(run: RunFolder) -> Iterator[None]:
    """Takes DONE away while the run is trained again, before anything slow: an evaluator must not end on it now.

    It is put back after a UserError if nothing was trained until then: the run is as finished as it was.

    Raises:
        UserError: when training ended with a whitening, from where it cannot go on.
    """
    done = run.done.read_text() if run.done.exists() else None
    if done and run.ended_white():
        raise UserError(
            f"{run.folder}: its training has ended with a whitening in the place of the layers that were learned, "
            f"and cannot go on; take a new --model_dir with warm_start_from {str(run.folder)!r}"
        )
    before = list_checkpoints(run.checkpoints)
    run.done.unlink(missing_ok=True)
    try:
        yield
    except UserError:
        if done is not None and list_checkpoints(run.checkpoints) == before:
            run.done.write_text(done)
        raise


def notes(run: RunFolder, params: Params, data: TrainingSet, total: int) -> Iterator[str]:
    """What the log says of a run before it starts: its data, plans beyond its last step, changed parameters."""
    yield data.summary()
    if total > 1:  # a short trial of a long recipe is no mistake
        for note in late_beginnings(params, total):
            yield f"note: {note}"
    for change in run.changes(params):
        yield f"changed since the last start: {change}"
