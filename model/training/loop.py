"""The training loop, from top to bottom."""

import contextlib
import math
import time
from collections.abc import Iterator

import tensorflow as tf

from dataset.loading.pipeline import broken_image, training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.run.checkpoint_files import NonFiniteError, list_checkpoints
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder, write_done
from model.training.checkpoints import TrainingCheckpoints
from model.training.curriculum import Phase, phase_at
from model.training.hard_triples import HardTriples
from model.training.learner import build_learner
from model.training.record import Record
from model.training.resume import resume_or_begin
from model.training.supervisor import Supervisor, Watched
from model.training.whitening import whiten
from runtime.errors import UserError
from runtime.log import Log
from runtime.stopping import StopRequest


def train(
    run: RunFolder, params: Params, data: TrainingSet, log: Log, beat: Heartbeat, watched: Watched | None = None
) -> None:
    """Trains until the last step or a request to stop. Resumes from the newest checkpoint of the run.

    `watched` is the metric for plateaus and early stopping; None without evaluation sets.

    Raises:
        UserError: when a checkpoint does not fit, weights cannot be loaded, or an image is broken.
        NonFiniteError: when the loss or a weight became NaN or infinite.
    """
    total = params.total_steps(data.sampler.steps_per_epoch)
    fresh = not list_checkpoints(run.checkpoints)
    learner = build_learner(params, data, total, imagenet=fresh and params.warm_start_from == "imagenet")
    log.line(learner.summary(params))
    checkpoints, start = resume_or_begin(run, params, data, learner, log, fresh=fresh)
    record = Record(run, params, data, learner, start, log, beat)
    checkpoints.before_saving.append(record.write)
    mining = params.triplet_mining == "hard"
    hard = HardTriples(run.triples, learner.embedder, params, data, checkpoints, log) if mining else None
    batches = feed(learner.strategy, data, params, start, total, hard)
    supervisor = Supervisor(run, params, watched, start, log)

    phase: Phase | None = None
    whitened_last = params.whitening in ("end", "both")
    ended: str | None = None  # the reason for early stopping
    with contextlib.closing(record), StopRequest() as stop:
        step = start  # the number of steps done
        while step < total and not stop.requested:
            ended = supervisor.look(step)
            if ended:
                break
            learner.schedule.lower(supervisor.factor)
            last, phase = phase, phase_at(params, step)
            for news in phase.news(last, params):
                log.line(f"step {step}: {news}")

            images, labels, waited = _next_batch(batches, data, params, step, checkpoints)
            result = learner.train_step(images, labels, step, phase)
            step += 1
            if not math.isfinite(loss := float(result.loss)):
                batch = ", ".join(_files_of(data, step - 1, step))
                raise NonFiniteError(f"the loss became {loss} at step {step} (images: {batch})", checkpoints.latest)
            try:
                record.add(step, images, result, waited=waited, compiled=phase != last)
            except UserError:  # a file of the run cannot be written; a checkpoint perhaps can
                with contextlib.suppress(UserError):
                    checkpoints.save(step)
                raise

            # Also before a last step with whitening: a failure there loses nothing else.
            due = step % params.save_checkpoints_steps == 0 or (whitened_last and step == total - 1)
            if due and step < total:
                checkpoints.save(step)
                supervisor.checkpoint_saved()
        if step == total and whitened_last:
            log.line(whiten(learner.network, params, data.images))  # before the checkpoint that is evaluated
        checkpoints.save(step)  # no finished step is lost

    supervisor.ended()
    if step < total and not ended:
        log.line(f"stopped by {stop.requested} at step {step} of {total}; run the same command to resume")
        return
    write_done(run, step, ended)
    done = f"done: {step} steps; {checkpoints.latest}"
    log.line(f"stopped early at step {step} of {total}: {ended}" if ended else done)


def feed(
    strategy: tf.distribute.Strategy,
    data: TrainingSet,
    params: Params,
    start: int,
    stop: int,
    hard: HardTriples | None,
) -> Iterator[tuple[tf.Tensor, ...]]:
    """The batches of steps `start` .. `stop - 1`, distributed over the replicas: (images, labels, indices)."""
    files, orientations = data.images.manifest.files(), data.images.orientations
    while start < stop:
        end = stop
        if hard:  # batches are prepared in advance, but only for the epoch with known triples
            hard.prepare(start)
            epoch = data.sampler.steps_per_epoch
            end = min(stop, (start // epoch + 1) * epoch)
        dataset = training_batches(files, orientations, data.sampler, params, start, end)
        several = strategy.num_replicas_in_sync > 1
        yield from iter(strategy.experimental_distribute_dataset(dataset) if several else dataset)
        start = end


def _next_batch(
    batches: Iterator[tuple[tf.Tensor, ...]],
    data: TrainingSet,
    params: Params,
    step: int,
    checkpoints: TrainingCheckpoints,
) -> tuple[tf.Tensor, tf.Tensor, float]:
    """Images and labels of the next batch, and the seconds spent waiting for it.

    Raises:
        UserError: when an image is broken; the message names it. Saves a checkpoint first.
    """
    before = time.perf_counter()
    try:
        images, labels, _ = next(batches)
    except tf.errors.OpError as error:
        checkpoints.save(step)
        files = _files_of(data, step, step + params.prefetch_threads)
        raise broken_image(files, params, error) from error
    return images, labels, time.perf_counter() - before


def _files_of(data: TrainingSet, start: int, stop: int) -> list[str]:
    """The image files of steps start .. stop - 1."""
    files = data.images.manifest.files()
    return [files[index] for step in range(start, stop) for index in data.sampler.batch(step)]
