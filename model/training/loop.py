"""The training loop, from top to bottom."""

import json
import math
import time

import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import broken_image
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.losses.objective import Objective
from model.network.build import build_network
from model.run.checkpoint_files import list_checkpoints
from model.run.done import write_done
from model.run.results import forget_results_after, write_results_csv
from model.run.run_folder import RunFolder
from model.training.batch_pictures import batch_picture, triplets_picture
from model.training.batch_statistics import anchor_statistics, batch_statistics, distance_samples, hardest_triplets
from model.training.checkpoints import NonFiniteError, TrainingCheckpoints
from model.training.collapse import CollapseAlarm
from model.training.curriculum import Phase, phase_at
from model.training.detailed_log import DetailedLog
from model.training.feeding import feed
from model.training.hard_triples import HardTriples
from model.training.monitoring import Meter, TrainingMonitor, progress_line
from model.training.optimizer import BackboneAdam
from model.training.schedules import LearningRate
from model.training.step import StepResult, TrainStep, make_strategy
from model.training.supervisor import Supervisor, Watched
from model.training.warm_start import warm_start
from model.training.whitening import check_whitening, whiten
from runtime.errors import UserError
from runtime.log import Log
from runtime.stopping import StopRequest

# Rows of the picture of a batch: what belongs together is a column.
_COLUMN = {"triplets": 3}


def train(run: RunFolder, params: Params, data: TrainingSet, log: Log, watched: Watched | None = None) -> None:
    """Trains until the last step, or until SIGINT or SIGTERM; goes on from the newest checkpoint of the run.

    `watched` is the evaluator's figure by which the learning rate is lowered, or training ends early, if it shall.

    Raises:
        UserError: when a checkpoint does not fit, weights cannot be loaded, or an image is broken.
        NonFiniteError: when the loss or a weight is no number any more.
    """
    total = params.total_steps(data.sampler.steps_per_epoch)
    batch_size = data.sampler.batch_size

    # Network, loss and optimizer, on every replica
    strategy = make_strategy(params)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"a batch of {batch_size} images cannot be shared by {replicas} devices evenly")
    fresh = not list_checkpoints(run.checkpoints)
    imagenet = fresh and params.warm_start_from == "imagenet"
    with strategy.scope():
        network = build_network(params, synchronized=replicas > 1, imagenet=imagenet)
        model = network.embedder
        objective = Objective(
            params,
            len(data.sampler.identities),
            classified_size=network.classified_size,
            classifier_batch_norm=network.classifier_batch_norm,
        )
        schedule = LearningRate(params, total)
        optimizer = BackboneAdam(schedule, params)
        backbone = model.get_layer("backbone").trainable_variables
        optimizer.build_for(backbone, [*model.trainable_variables, *objective.trainable_variables])
        train_step = TrainStep(strategy, network, objective, optimizer, params)
    log.line(
        f"model: {params.model_type}, {params.head}, {model.count_params():,} parameters, "
        f"{'x'.join(map(str, model.input_shape[1:]))} pixels to {params.embedding_size} dimensions, "
        f"on {replicas} device{'s' if replicas > 1 else ''}"
    )

    # Where to start: a checkpoint of this run, other weights, or nothing
    checkpoints = TrainingCheckpoints(run.checkpoints, model, objective, optimizer, params.keep_checkpoints)
    start = checkpoints.restore()
    if not fresh:
        log.line(f"resumed from {checkpoints.latest}")
    elif imagenet:
        log.line(f"warm start: {len(model.get_layer('backbone').weights)} variables (backbone) from ImageNet")
    elif params.warm_start_from:
        log.line(warm_start(model, params.warm_start_from))
    if params.whitening != "none":
        check_whitening(network, params)
    if fresh and params.whitening in ("start", "both"):
        log.line(whiten(network, params, data.images))
    run.write_resolved(params)  # only now: a run that cannot go on keeps its record
    forgotten = forget_results_after(run, start)
    if forgotten:
        log.line(f"{forgotten} results of later steps dropped from {run.results}: these steps are repeated")
    if params.csv_log and run.results.exists():
        write_results_csv(run)
    if fresh:
        checkpoints.save(0)  # so that the untrained network is evaluated too

    # What is written down
    files = data.images.manifest.files()
    csv_file = run.folder / "metrics.csv" if params.csv_log else None
    monitor = TrainingMonitor(run.train_events, run.metrics, start, csv_file=csv_file)
    monitor.text("parameters", f"```\n{json.dumps(params.model_dump(), indent=2)}\n```", start)
    alarm = CollapseAlarm(params.collapse_steps, params.margin, params.metric, params.embedding_size)
    detailed = None
    if params.detailed_log:
        detailed = DetailedLog(run.detailed_log, files, start, batch_size, params.embedding_size)
        for note in detailed.notes:
            log.line(note)

    # Data
    hard = HardTriples(run.triples, model, params, data, checkpoints, log) if params.triplet_mining == "hard" else None
    batches = feed(strategy, data, params, start, total, hard)

    # Loop
    meter = Meter()
    supervisor = Supervisor(run, params, watched, start, log)
    phase: Phase | None = None
    whitened_last = params.whitening in ("end", "both")
    ended: str | None = None  # why training is over before its last step
    with StopRequest() as stop:
        step = start  # the number of steps done
        while step < total and not stop.requested:
            ended = supervisor.look(step)
            if ended:
                break
            schedule.lower(supervisor.factor)
            last, phase = phase, phase_at(params, step)
            for news in phase.news(last, params):
                log.line(f"step {step}: {news}")
            before = time.perf_counter()
            try:
                images, labels, _ = next(batches)
            except tf.errors.OpError as error:
                checkpoints.save(step)
                del batches  # its threads go on decoding, and complaining, until then
                raise broken_image(_files_of(data, step, step + params.prefetch_threads), error) from error
            waited = time.perf_counter() - before
            result = train_step(images, labels, step, phase)
            loss = float(result.loss)
            values = {name: float(value) for name, value in result.values.items()}
            step += 1
            meter.add(batch_size, waited)

            if not math.isfinite(loss):
                batch = ", ".join(_files_of(data, step - 1, step))
                raise NonFiniteError(f"the loss is {loss} at step {step} (images: {batch})", checkpoints.latest)
            warning = alarm.update(step, values | {"loss": values["triplet_loss"]})
            if warning:
                log.line(warning)
            if detailed:
                detailed.append(
                    step, loss, result.embeddings.numpy(), _anchor_losses(result), data.sampler.batch(step - 1)
                )
            draw = params.save_picture_steps and (step == 1 or step % params.save_picture_steps == 0)
            if draw or step == start + 1:
                parts = [part.numpy() for part in strategy.experimental_local_results(images)]
                pictures = np.concatenate(parts)
                if step == start + 1:
                    monitor.picture(
                        "batch", batch_picture(pictures, _COLUMN.get(params.sampling, params.batch_k)), step
                    )
                if draw:
                    _hardest_triplets(monitor, pictures, result, params, step)
            if step % params.save_summary_steps == 0 or step == total or step == 1:
                speed = meter.read()
                rate = speed["images_per_second"] / batch_size
                values = {"loss": loss, **values} | optimizer.learning_rates(step - 1)
                values |= _statistics(monitor, result, params, step) | speed
                monitor.scalars(step, values)
                left = (total - step) / rate if phase == last else math.nan  # this step compiled
                log.line(progress_line(step, total, values | {"seconds_left": left}), progress=step < total)
            if phase != last:
                meter = Meter()  # the next reading leaves out the compilation
            # The one before the last: should the whitening fail, nothing else is lost.
            due = step % params.save_checkpoints_steps == 0 or (whitened_last and step == total - 1)
            if due and step < total:
                checkpoints.save(step)
                supervisor.checkpoint_saved()
        if step == total and whitened_last:
            log.line(whiten(network, params, data.images))  # before there is a checkpoint of this step to evaluate
        checkpoints.save(step)  # nothing of the finished steps is lost
    supervisor.ended()
    monitor.close()
    if detailed:
        detailed.close()
    if ended:
        write_done(run, step, ended)
        log.line(f"stopped early at step {step} of {total}: {ended}")
    elif step < total:
        log.line(f"stopped by {stop.requested} at step {step} of {total}; the same command goes on from there")
    else:
        write_done(run, step)
        log.line(f"done: {step} steps; {checkpoints.latest}")


def _statistics(monitor: TrainingMonitor, result: StepResult, params: Params, step: int) -> dict[str, float]:
    """The scalars of a logged step; its histograms go to TensorBoard at once."""
    scalars = batch_statistics(result.labels, result.embeddings, params.metric, params.batch_k)
    figures = result.figures
    anchor_losses, valid = _anchor_losses(result), figures.valid.numpy() > 0
    monitor.histograms(
        step,
        {
            "anchor_loss": anchor_losses[valid],
            "embedding_norms": np.linalg.norm(result.embeddings.numpy(), axis=1),
            **{
                f"distance/{name}": sample
                for name, sample in distance_samples(result.labels, result.embeddings, params.metric).items()
            },
        },
    )
    percentiles = anchor_statistics({"valid": valid, "losses": anchor_losses}) | anchor_statistics(
        {
            "valid": figures.complete.numpy() > 0,
            "hardest_positive": figures.hardest_positive.numpy(),
            "hardest_negative": figures.hardest_negative.numpy(),
        }
    )
    return {name: float(value) for name, value in scalars.items()} | percentiles


def _anchor_losses(result: StepResult) -> np.ndarray:
    """The mean loss of each anchor's terms, 0 for anchors without any: (B,)."""
    return tf.math.divide_no_nan(result.figures.total, result.figures.count).numpy()


def _hardest_triplets(
    monitor: TrainingMonitor, images: np.ndarray, result: StepResult, params: Params, step: int
) -> None:
    """A picture of them, where there are any."""
    triplets = hardest_triplets(result.labels, result.embeddings, params.metric)
    if triplets:
        monitor.picture("hardest_triplets", triplets_picture(images, triplets), step)


def _files_of(data: TrainingSet, start: int, stop: int) -> list[str]:
    """The files of the batches of steps start .. stop - 1."""
    files = data.images.manifest.files()
    return [files[index] for step in range(start, stop) for index in data.sampler.batch(step)]
