"""The checks and notes before a training starts. Needs no TensorFlow."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from dataset.loading.training_set import TrainingSet
from model.configuration.loading import load_params
from model.configuration.params import Params
from model.run.checkpoint_files import find_weights, list_checkpoints, once_had_checkpoints, tidy
from model.run.results import read_results
from model.run.run_folder import PACKAGES, RunFolder, code_digests, stopped_early, write_done
from model.run.training_list import describe_list, training_list_change
from model.training.curriculum import late_beginnings
from model.training.rendezvous import Message
from model.training.supervisor import Watched
from runtime.errors import UserError
from runtime.files import remove_unfinished, replace_file
from runtime.json_files import read_json_lines
from runtime.printable import look_alike_note
from runtime.versions import find_versions
from runtime.workers import Workers, find_workers

# What a change of a parameter means for a run that resumes.
_MEANING = {
    "ema_decay": "from null, the average begins with the weights of the checkpoint; at null, it is dropped",
    "image_size": "the weights were trained on images of the old size, and results of earlier checkpoints are of that "
    "size: do not compare them with later ones",
    "metric": "results with the other distance are not compared with later ones",
    "dataset": "results on the other data set are not compared with later ones",
    "best_metric": "the best checkpoint is chosen again from results.jsonl; the files of the present one stay",
}


def start_run(run: RunFolder, source: Path) -> None:
    """Copies a params.json into a run folder; an existing one must be identical."""
    load_params(source)
    if run.params_json.exists():
        if run.params_json.read_bytes() != source.read_bytes():
            raise UserError(
                f"{run.params_json} exists and differs from {source}; drop --params, or use a new --model_dir"
            )
        return
    run.check_writable()
    with replace_file(run.params_json, "wb") as file:
        file.write(source.read_bytes())


def check_start(run: RunFolder, params: Params, data: TrainingSet, watched: Watched | None) -> None:
    """Checks what would stop the training, before TensorFlow is loaded. Creates the run's folders.

    Raises:
        UserError: when there is no metric to watch, the folder is not writable, the initial weights are missing, the
            run was trained, but its checkpoints are gone, or by an optimizer with another state.
    """
    asked = [name for name in ("plateau_evaluations", "early_stopping_evaluations") if getattr(params, name)]
    if asked and watched is None:
        raise UserError(f"{asked[0]} needs an evaluation set, but {data.prepared.folder} has none; set it to null")
    run.check_writable(run.checkpoints, run.train_events)
    trained = [line["step"] for file in (run.metrics, run.plateau) for line in read_json_lines(file)]
    read_results(run)  # a damaged file is an error now
    if list_checkpoints(run.checkpoints):
        _check_optimizer(run, params)
        return
    if params.warm_start_from:
        find_weights(params.warm_start_from)
    traces = {
        run.metrics: max(trained, default=0) > 0,
        run.results: run.results.exists(),
        run.best_json: run.best_json.exists(),
        run.best: bool(list_checkpoints(run.best)),
        run.checkpoints: once_had_checkpoints(run.checkpoints),
    }
    if old := next((path for path, there in traces.items() if there), None):
        what = f"{old} is from checkpoints that no longer exist in {run.checkpoints}"
        if old == run.checkpoints:
            what = f"{old} once had checkpoints, but none is complete now"
        raise UserError(f"{what}; put them back, or use a new --model_dir (warm_start_from takes any checkpoint)")


def _check_optimizer(run: RunFolder, params: Params) -> None:
    """Adam and AdamW have the same state, SGD another one."""
    change = next((change for change in run.changes(params) if change.startswith("optimizer ")), "")
    if '"sgd"' in change:
        raise UserError(
            f"{run.folder}: {change}: the checkpoints hold the state of the first one; set it back, or use a new "
            f"--model_dir with warm_start_from {str(run.folder)!r}"
        )


def workers_of(params: Params, worker: int | None, addresses: str | None) -> Workers | None:
    """The workers of a training over several hosts; None for one process.

    Args:
        params: `distribution`.
        worker, addresses: --worker and --workers, if given.

    Raises:
        UserError: when they are missing, invalid, or not asked for.
    """
    if params.distribution in ("none", "mirrored"):
        if worker is not None or addresses is not None:
            raise UserError(f"--worker is given, but distribution is {params.distribution!r}; set it to 'multi_worker'")
        return None
    found = find_workers(worker, addresses)
    if found is None and params.distribution == "multi_worker":
        raise UserError(
            "distribution is 'multi_worker', but nothing names the workers: give --worker 0 --workers "
            "host0:2222,host1:2222, set TF_CONFIG, or start with srun"
        )
    if found is None or found.of == 1:
        return None
    if params.jit_compile:
        raise UserError("jit_compile does not work on several hosts; set it to false")
    return found


def description(params: Params, data: TrainingSet, devices: list[str]) -> Message:
    """What must be equal on all workers."""
    return {
        "parameters": params.model_dump(mode="json"),
        "files of the code": code_digests(),
        "packages": find_versions(PACKAGES),
        "images of the training list": describe_list(data.images.manifest),
        "devices": {"kind": devices[0].partition(":")[0], "number": len(devices)},
    }


def check_shares(params: Params, batch_size: int, shares: int, what: str) -> None:
    """Raises a UserError if a batch cannot be divided equally among `shares` workers or devices (`what`).

    Also if `micro_batch` does not divide the share of each.
    """
    if batch_size % shares == 0:
        rows, size = batch_size // shares, params.micro_batch
        if size and rows % size:
            divisors = [each for each in range(1, rows + 1) if rows % each == 0]
            near = [max(each for each in divisors if each < size), *[each for each in divisors if each > size][:1]]
            where = f" on each of {shares} {what}" if shares > 1 else ""
            raise UserError(
                f"micro_batch is {size}, which does not divide the {rows} images of a batch{where}; set it to "
                f"{' or '.join(map(str, near))}"
            )
        return
    triples = params.sampling == "triplets"
    unit = 3 if triples else params.batch_k  # images that are added together
    step = math.lcm(unit, shares)
    sizes = [size for size in (batch_size // step * step, -(-batch_size // step) * step) if size >= 2 * unit]
    what_to_set = ("batch_p x batch_k", 1) if triples else ("batch_p", unit)
    fits = " or ".join(f"{size} images ({what_to_set[0]} = {size // what_to_set[1]})" for size in sizes)
    raise UserError(
        f"a batch of {batch_size} images cannot be divided among {shares} {what}; the nearest sizes are {fits}"
    )


def tidy_run(run: RunFolder) -> list[str]:
    """Removes what a killed training left half-written, and rebuilds the list of checkpoints; notes for the log."""
    written = (run.resolved_json, run.done, run.metrics, run.plateau, run.results, run.folder / "metrics.csv")
    for file in written:
        remove_unfinished(file)
    for half in (*run.triples.glob(".*.tmp"), *run.folder.glob(".write-test.*")):
        half.unlink(missing_ok=True)
    return tidy(run.checkpoints)


def nothing_to_do(run: RunFolder, params: Params, total: int) -> list[str]:
    """Lines that say why there is nothing to train; none if there is something.

    Writes DONE if the last checkpoint exists without it, as after a kill.
    """
    listed = list_checkpoints(run.checkpoints)
    if not listed:
        return []
    step, latest = listed[-1]
    if early := stopped_early(run, params, step):
        reason = f"nothing to do: {early}; to resume, change early_stopping_evaluations (null: never) or best_metric"
    elif step >= total and run.resolved_json.exists():
        write_done(run, step)
        reason = f"nothing to do: {latest} is at step {step} of {total}"
    else:
        return []
    return [reason, *(f"ignored, since nothing is trained: {change}" for change in run.changes(params))]


def _others_named() -> str:
    """Words about other workers that the environment names, if any."""
    with contextlib.suppress(UserError):
        found = find_workers()
        if found and found.of > 1:
            return f"the environment names {found.of} workers"
    return ""


@contextlib.contextmanager
def reopened(run: RunFolder) -> Iterator[None]:
    """Removes DONE while the run is trained, so the evaluator does not end.

    Restores it after a UserError if nothing was trained.

    Raises:
        UserError: when training ended with a whitening and therefore cannot resume.
    """
    done = run.done.read_bytes() if run.done.exists() else None
    if done and run.ended_white():
        raise UserError(
            f"{run.folder}: training ended with a whitening of the linear layers and cannot resume; use a new "
            f"--model_dir with warm_start_from {str(run.folder)!r}"
        )
    before = list_checkpoints(run.checkpoints)
    run.done.unlink(missing_ok=True)
    try:
        yield
    except UserError:
        if done is not None and list_checkpoints(run.checkpoints) == before:
            run.done.write_bytes(done)
        raise


def notes(run: RunFolder, params: Params, data: TrainingSet, total: int) -> Iterator[str]:
    """Log lines before the start: the data, planned changes after the last step, changed parameters."""
    yield data.summary()
    if params.distribution in ("none", "mirrored") and (others := _others_named()):
        yield f"note: {others}, but distribution is {params.distribution!r}: this process trains alone"
    if same := look_alike_note(data.images.manifest.identities):
        yield f"note: {same}"
    if total > 1:  # one step of a long recipe is a test
        for note in late_beginnings(params, total):
            yield f"note: {note}"
    for change in run.changes(params):
        meaning = _MEANING.get(change.partition(" ")[0])
        yield f"changed since the last start: {change}{f' ({meaning})' if meaning else ''}"
    news = training_list_change(run, data.images.manifest)
    if news and list_checkpoints(run.checkpoints):
        classes = (
            ", and outputs of the classifier may stand for other identities" if params.classification_weight else ""
        )
        yield f"changed since the last start: {news}; batches are drawn from the new list{classes}"
