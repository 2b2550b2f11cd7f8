"""The training loop, from top to bottom."""

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from dataset.loading.pipeline import broken_image, training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.run.checkpoint_files import NonFiniteError, list_checkpoints
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder, write_done
from model.training.cluster import Agreement, Cluster
from model.training.curriculum import Phase, phase_at
from model.training.hard_triples import HardTriples
from model.training.learner import build_learner
from model.training.record import Record
from model.training.resume import resume_or_begin
from model.training.supervisor import Supervisor, Watched
from model.training.unread import UnreadSteps
from model.training.whitening import whiten
from runtime.errors import UserError
from runtime.log import Log
from runtime.stopping import StopRequest


def train(
    run: RunFolder,
    params: Params,
    data: TrainingSet,
    log: Log,
    cluster: Cluster,
    *,
    beat: Heartbeat | None = None,
    watched: Watched | None = None,
) -> None:
    """Trains until the last step or a request to stop. Resumes from the newest checkpoint of the run.

    Args:
        run: its folder, into which only the chief writes.
        params: its parameters.
        data: its training set.
        log: the log of this process.
        cluster: the devices.
        beat: of the chief: told about every step.
        watched: of the chief: the metric for plateaus and early stopping; None without evaluation sets.

    Raises:
        UserError: when a checkpoint does not fit, weights cannot be loaded, or an image is broken.
        NonFiniteError: when the loss, an embedding or a weight became NaN or infinite.
        LostWorkerError: when another worker has ended.
    """
    try:
        _train(run, params, data, log, cluster, beat, watched)
    except tf.errors.OpError as error:
        if lost := cluster.lost(error):
            raise lost from error
        raise


def _train(
    run: RunFolder,
    params: Params,
    data: TrainingSet,
    log: Log,
    cluster: Cluster,
    beat: Heartbeat | None,
    watched: Watched | None,
) -> None:
    total = params.total_steps(data.sampler.steps_per_epoch)
    fresh = cluster.chief and not list_checkpoints(run.checkpoints)
    learner = build_learner(params, data, total, cluster, imagenet=fresh and params.warm_start_from == "imagenet")
    log.line(learner.summary(params))
    checkpoints, start = resume_or_begin(run, params, data, learner, log, fresh=fresh)
    record = supervisor = None
    if cluster.chief:
        assert beat
        record = Record(run, params, data, learner, start, log, beat)
        supervisor = Supervisor(run, params, watched, start, log)
    mining = params.triplet_mining == "hard"
    hard = HardTriples(run.triples, learner, params, data, checkpoints, log) if mining else None
    batches = feed(cluster, data, params, start, total, hard)
    unread = UnreadSteps()

    def read() -> None:
        """Looks at the steps that nobody has looked at yet."""
        for number, values in unread.read():
            # A saturated loss is finite, even of infinite embeddings; and a finite loss may have infinite gradients.
            for name in ("loss", "embedding_norm", "gradient_norm"):
                if not math.isfinite(values.get(name, 0.0)):
                    what = f"the {name.replace('_', ' ')} became {values[name]} at {_place(data, number)}"
                    raise NonFiniteError(what, checkpoints.latest)
            if record:
                record.look(number, values)

    checkpoints.place = lambda step: _place(data, step)
    checkpoints.before_saving.append(read)  # before weights are judged: it knows the first bad step
    if record:
        checkpoints.before_saving.append(record.write)

    phase: Phase | None = None
    whitened_last = params.whitening in ("end", "both")
    ended, agreed = None, Agreement(None, None, False, 1.0)  # `ended`: the reason for an end before the last step
    closing = contextlib.closing(record) if record else contextlib.nullcontext()
    with contextlib.closing(checkpoints), closing, StopRequest() as stop:
        step = start  # the number of steps done
        while step < total and not (stop.requested and cluster.alone):
            checkpoints.check()
            ended = supervisor.look(step) if supervisor else None
            factor = supervisor.factor if supervisor else 1.0
            if hard and hard.due(step):  # mining takes long: not before an end
                read()
                agreed = cluster.agree(stop=stop.code, failed=False, ended=ended is not None, factor=factor)
                if agreed.stop or agreed.ended:
                    break
            images, labels, waited, failure = _next_batch(batches)
            agreed = cluster.agree(stop=stop.code, failed=failure is not None, ended=ended is not None, factor=factor)
            if agreed.failed is not None:
                checkpoints.save(step)
                raise _failure(failure, agreed.failed, cluster, data, params, step)
            if agreed.stop or agreed.ended:
                break
            learner.schedule.lower(agreed.factor)
            last, phase = phase, phase_at(params, step)
            for news in phase.news(last, params):
                log.line(f"step {step}: {news}")

            result = learner.train_step(images, labels, step, phase)
            step += 1
            unread.add(step, result.names, result.scalars)
            compiled = phase != last
            wanted = record is not None and record.finished(step, waited=waited, compiled=compiled)
            # Several workers wait for each other at each step anyway, and a NaN must end all of them at the same one.
            if wanted or not cluster.alone or unread.due:
                read()
            try:
                if record and wanted:
                    record.add(step, images, result, compiled=compiled)
            except UserError:  # a file of the run cannot be written; a checkpoint perhaps can
                with contextlib.suppress(UserError):
                    checkpoints.save(step)
                raise

            # Also before a last step with whitening: a failure there loses nothing else.
            due = step % params.save_checkpoints_steps == 0 or (whitened_last and step == total - 1)
            if due and step < total:
                checkpoints.begin(step)
                if supervisor:
                    supervisor.checkpoint_saved()
        if step == total and whitened_last and cluster.chief:
            log.line(whiten(learner.outcome, params, data.images))  # before the checkpoint that is evaluated
        checkpoints.save(step)  # no finished step is lost

    if supervisor:
        supervisor.ended()
    if step < total and not agreed.ended:
        by = stop.requested or _signal_elsewhere(agreed)
        log.line(f"stopped by {by} at step {step} of {total}; run the same command to resume")
        return
    if cluster.chief:
        write_done(run, step, ended)
    done = f"done: {step} steps; {checkpoints.latest}" if cluster.chief else f"done: {step} steps"
    log.line(
        f"stopped early at step {step} of {total}: {ended or 'see the log of the chief'}" if step < total else done
    )


def feed(
    cluster: Cluster, data: TrainingSet, params: Params, start: int, stop: int, hard: HardTriples | None
) -> Iterator[tuple[tf.Tensor, ...]]:
    """The batches of steps `start` .. `stop - 1`, distributed over the replicas: (images, labels, indices).

    Each worker loads only its own rows of a batch.
    """
    files, orientations = data.images.manifest.files(), data.images.orientations
    rows = cluster.rows(data.sampler.batch_size)
    while start < stop:
        end = stop
        if hard:  # batches are prepared in advance, but only for the epoch with known triples
            hard.prepare(start)
            epoch = data.sampler.steps_per_epoch
            end = min(stop, (start // epoch + 1) * epoch)
        dataset = training_batches(files, orientations, data.sampler, params, start, end, rows, cluster.local)
        yield from cluster.distributed(dataset)
        start = end


class _Batch(NamedTuple):
    """Images and labels of a step, the seconds spent waiting for them, and the error instead of them, if any."""

    images: tf.Tensor | None
    labels: tf.Tensor | None
    waited: float
    failure: tf.errors.OpError | UserError | None


def _next_batch(batches: Iterator[tuple[tf.Tensor, ...]]) -> _Batch:
    before = time.perf_counter()
    try:
        images, labels, _ = next(batches)
    except NonFiniteError:  # of mining: no checkpoint is saved
        raise
    except (tf.errors.OpError, UserError) as error:
        return _Batch(None, None, 0.0, error)
    return _Batch(images, labels, time.perf_counter() - before, None)


def _failure(
    failure: tf.errors.OpError | UserError | None,
    worker: int,
    cluster: Cluster,
    data: TrainingSet,
    params: Params,
    step: int,
) -> UserError:
    """The error for a batch that some worker could not load. Where it happened, it names the image."""
    if failure is None:
        return cluster.lost_worker(worker)
    if isinstance(failure, UserError):
        return failure
    error = broken_image(_files_of(data, step, step + params.prefetch_threads), params, failure)
    error.__cause__ = failure
    return error


def _signal_elsewhere(agreed: Agreement) -> str:
    """Words for a request to stop that another worker got."""
    worker, code = agreed.stop or (0, 0)
    reason = signal.Signals(code - 128).name if code > 128 else "an error of standard output"
    return f"{reason} of worker {worker}"


def _place(data: TrainingSet, step: int) -> str:
    """Words for the training step that gave `step` steps done, with the images of its batch."""
    return f"step {step} (images: {', '.join(_files_of(data, step - 1, step))})"


def _files_of(data: TrainingSet, start: int, stop: int) -> list[str]:
    """The image files of steps start .. stop - 1."""
    files = data.images.manifest.files()
    return [files[index] for step in range(start, stop) for index in data.sampler.batch(step)]
