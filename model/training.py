"""The training loop, from top to bottom."""

import json
import math
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from dataset.errors import UserError
from dataset.pipeline import broken_image, training_batches
from dataset.training_set import TrainingSet
from model.checkpoint_files import list_checkpoints
from model.checkpoints import NonFiniteError, TrainingCheckpoints
from model.embedder import build_embedder
from model.losses import triplet_loss
from model.monitoring import Log, Meter, TrainingMonitor, batch_picture, batch_statistics, progress_line
from model.params import Params
from model.results import forget_results_after
from model.run_folder import RunFolder
from model.schedules import LearningRate
from model.stopping import StopRequest
from model.warm_start import warm_start

Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor, tf.Tensor]]


def train(run: RunFolder, params: Params, data: TrainingSet, log: Log) -> None:
    """Trains until the last step, or until SIGINT or SIGTERM; goes on from the newest checkpoint of the run.

    Raises:
        UserError: when a checkpoint does not fit, weights cannot be loaded, or an image is broken.
        NonFiniteError: when the loss or a weight is no number any more.
    """
    total = params.total_steps(data.sampler.steps_per_epoch)
    batch_size = params.batch_p * params.batch_k

    # Network and optimizer, on every replica
    strategy = make_strategy(params)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"a batch of P x K = {batch_size} images cannot be shared by {replicas} devices evenly")
    fresh = not list_checkpoints(run.checkpoints)
    imagenet = fresh and params.warm_start_from == "imagenet"
    with strategy.scope():
        model = build_embedder(params, synchronized=replicas > 1, imagenet=imagenet)
        schedule = LearningRate(params, total)
        optimizer = keras.optimizers.Adam(schedule, epsilon=params.adam_epsilon)
        optimizer.build(model.trainable_variables)
    log.line(
        f"model: {params.model_type}, {params.head}, {model.count_params():,} parameters, "
        f"{'x'.join(map(str, model.input_shape[1:]))} pixels to {params.embedding_size} dimensions, "
        f"on {replicas} device{'s' if replicas > 1 else ''}"
    )

    # Where to start: a checkpoint of this run, other weights, or nothing
    checkpoints = TrainingCheckpoints(run.checkpoints, model, optimizer, params.keep_checkpoints)
    start = checkpoints.restore()
    if not fresh:
        log.line(f"resumed from {checkpoints.latest}")
    elif imagenet:
        log.line(f"warm start: {len(model.get_layer('backbone').weights)} variables (backbone) from ImageNet")
    elif params.warm_start_from:
        log.line(warm_start(model, params.warm_start_from))
    run.write_resolved(params)  # only now: a run that cannot go on keeps its record
    forgotten = forget_results_after(run, start)
    if forgotten:
        log.line(f"{forgotten} results of later steps dropped from {run.results}: these steps are repeated")
    monitor = TrainingMonitor(run.train_events, run.metrics, start)
    monitor.text("parameters", f"```\n{json.dumps(params.model_dump(), indent=2)}\n```", start)
    if fresh:
        checkpoints.save(0)  # so that the untrained network is evaluated too

    # Data and step
    files = data.images.manifest.files()
    dataset = training_batches(files, data.images.orientations, data.sampler, params, start, total)
    batches = iter(dataset if replicas == 1 else strategy.experimental_distribute_dataset(dataset))
    train_step = make_train_step(strategy, model, optimizer, params)

    # Loop
    meter = Meter()
    with StopRequest() as stop:
        step = start  # the number of steps done
        while step < total and not stop.requested:
            before = time.perf_counter()
            try:
                images, labels, _ = next(batches)
            except tf.errors.OpError as error:
                checkpoints.save(step)
                del batches  # its threads go on decoding, and complaining, until then
                raise broken_image(_files_of(data, step, step + params.prefetch_threads), error) from error
            waited = time.perf_counter() - before
            loss, monitors, embeddings, all_labels = train_step(images, labels)
            loss = float(loss)
            step += 1
            meter.add(batch_size, waited)

            if not math.isfinite(loss):
                batch = ", ".join(_files_of(data, step - 1, step))
                raise NonFiniteError(f"the loss is {loss} at step {step} (images: {batch})", checkpoints.latest)
            if step == start + 1:
                parts = [part.numpy() for part in strategy.experimental_local_results(images)]
                picture = batch_picture(np.concatenate(parts), params.batch_k)
                monitor.picture("batch", picture, step)
            if step % params.save_summary_steps == 0 or step == total or step == 1:
                speed = meter.read()
                rate = speed["images_per_second"] / batch_size
                values = {"loss": loss, **monitors, "learning_rate": schedule(step - 1)}
                values |= batch_statistics(all_labels, embeddings, params.metric, params.batch_k)
                values = {name: float(value) for name, value in values.items()} | speed
                monitor.scalars(step, values)
                left = (total - step) / rate if step > start + 1 else math.nan  # the first step compiles
                log.line(progress_line(step, total, values | {"seconds_left": left}), progress=step < total)
            if step == start + 1:
                meter = Meter()  # the next reading leaves out the compilation
            if step % params.save_checkpoints_steps == 0:
                checkpoints.save(step)
        checkpoints.save(step)  # nothing of the finished steps is lost
    monitor.close()
    if step < total:
        log.line(f"stopped by {stop.requested} at step {step} of {total}; the same command goes on from there")
    else:
        run.done.write_text(f"{step}\n")
        log.line(f"done: {step} steps; {checkpoints.latest}")


def make_strategy(params: Params) -> tf.distribute.Strategy:
    """One device, or all local GPUs (without any, all logical CPU devices)."""
    if params.distribution == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def make_train_step(
    strategy: tf.distribute.Strategy, model: keras.Model, optimizer: keras.optimizers.Optimizer, params: Params
) -> Step:
    """The compiled step: images, labels -> loss, monitors, and the embeddings and labels of the whole batch.

    Every replica embeds its part of the batch, gathers the embeddings of all, and mines for its own anchors in the
    whole batch; its loss is divided by the whole batch's count. The losses and gradients of the replicas then add up
    to those of one device with the whole batch.
    """
    replicas = strategy.num_replicas_in_sync

    def replica_step(images: tf.Tensor, labels: tf.Tensor) -> tuple:
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            embeddings = model(images, training=True)  # (B / replicas, D)
            if replicas == 1:
                anchors, all_reduce = None, tf.identity
            else:
                size = embeddings.shape[0]
                anchors = (context.replica_id_in_sync_group * size, size)
                all_reduce = lambda x: context.all_reduce(tf.distribute.ReduceOp.SUM, x)  # noqa: E731
                # Zeros around the own rows, then a sum: a gather whose gradient is right on every strategy.
                around = [anchors[0], (replicas - 1) * size - anchors[0]]
                embeddings = all_reduce(tf.pad(embeddings, [around, [0, 0]]))  # (B, D)
                labels = all_reduce(tf.pad(labels, [around]))  # (B,)
            loss, monitors = triplet_loss(
                params.triplet_strategy,
                labels,
                embeddings,
                params.margin,
                params.metric,
                anchors=anchors,
                all_reduce=all_reduce,
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)  # Keras adds up the replicas' gradients
        return loss, monitors, embeddings, labels

    @tf.function(jit_compile=params.jit_compile)
    def step(images: tf.Tensor, labels: tf.Tensor) -> tuple:
        loss, monitors, embeddings, all_labels = strategy.run(replica_step, args=(images, labels))
        if replicas == 1:
            return loss, monitors, embeddings, all_labels
        first = lambda x: strategy.experimental_local_results(x)[0]  # noqa: E731
        monitors = {name: first(value) for name, value in monitors.items()}
        return (
            strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None),
            monitors,
            first(embeddings),
            first(all_labels),
        )

    return step


def _files_of(data: TrainingSet, start: int, stop: int) -> list[str]:
    """The files of the batches of steps start .. stop - 1."""
    files = data.images.manifest.files()
    return [files[index] for step in range(start, stop) for index in data.sampler.batch(step)]
