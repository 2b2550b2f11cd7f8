"""Records each training step: metrics, pictures, the detailed log, warnings, lines of the log."""

import json
import math

import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import broken_image, training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.run.events import PICTURES, is_kept
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder
from model.training.batch_pictures import batch_picture, triplets_picture
from model.training.batch_statistics import batch_statistics, distance_samples, hardest_triplets, percentiles
from model.training.collapse import CollapseAlarm
from model.training.detailed_log import DetailedLog
from model.training.learner import Learner
from model.training.monitoring import Meter, TrainingMonitor, progress_line
from model.training.step import StepResult
from runtime.log import Log

# Rows in the picture of a batch, where they are not `batch_k`. A column is one triplet or one identity.
_COLUMN = {"triplets": 3}
_HISTOGRAMS = 1000  # of each tag, before they become rarer; TensorBoard shows 500


class Record:
    """Records a training, step by step."""

    def __init__(
        self,
        run: RunFolder,
        params: Params,
        data: TrainingSet,
        learner: Learner,
        start: int,
        log: Log,
        beat: Heartbeat,
    ) -> None:
        """Opens the run's files and drops their records of steps after `start`: these steps are repeated."""
        self._params, self._sampler, self._learner, self._start, self._log = params, data.sampler, learner, start, log
        self._images = data.images
        self._total = params.total_steps(data.sampler.steps_per_epoch)
        csv_file = run.folder / "metrics.csv" if params.csv_log else None
        next_step = next(filter(self._is_logged, range(start + 1, self._total)), self._total)
        self._monitor = TrainingMonitor(run.train_events, run.metrics, start, next_step=next_step, csv_file=csv_file)
        self._monitor.text("parameters", f"```\n{json.dumps(params.model_dump(), indent=2)}\n```", start + 1)
        self._alarm = CollapseAlarm(params.margin, params.metric, params.embedding_size)
        self._detailed: DetailedLog | None = None
        if params.detailed_log:
            files, size = data.images.manifest.files(), data.sampler.batch_size
            most = params.detailed_log_gb * 1e9
            self._detailed = DetailedLog(run.detailed_log, files, start, size, params.embedding_size, most)
            whole = self._total * size * (4 * params.embedding_size + 12)  # bytes
            if whole > most:
                kept = f"the newest {params.detailed_log_gb:g} GB (detailed_log_gb) of about {whole / 1e9:,.3g} GB"
                log.line(f"note: {run.detailed_log} keeps {kept}")
            if self._detailed.note:
                log.line(self._detailed.note)
        self._meter, self._beat = Meter(), beat
        self._values: dict[str, float] = {}  # of the last step that was looked at
        beat.set(step=start, total=self._total)

    def finished(self, step: int, *, waited: float, compiled: bool) -> bool:
        """Counts a step that was given to the device; returns whether to call `look` and `add` now.

        Args:
            step: the number of steps done.
            waited: seconds spent waiting for its batch.
            compiled: whether the step was compiled first, which makes it slower than the next ones.
        """
        self._meter.add(self._sampler.batch_size, waited)
        self._beat.finished(f"step {step}", step=step)
        return compiled or self._detailed is not None or self._is_logged(step) or self._is_drawn(step)

    def look(self, step: int, values: dict[str, float]) -> None:
        """Takes in the scalars of a step. Call it for each step, in order; some steps late does no harm."""
        self._values = values
        self._beat.set(loss=values["loss"])
        if warning := self._alarm.update(step, values | {"loss": values["triplet_loss"]}):
            self._log.line(warning)

    def add(self, step: int, images: tf.Tensor, result: StepResult, *, compiled: bool) -> None:
        """Records what `finished` asked for, after `look` of the same step.

        Args:
            step, compiled: as for `finished`.
            images: (B, H, W, C) uint8, its batch, distributed over the replicas.
            result: the result of the step.
        """
        if self._detailed:
            batch, loss = self._sampler.batch(step - 1), self._values["loss"]
            self._detailed.append(step, loss, result.embeddings.numpy(), _anchor_losses(result), batch)
        if self._is_drawn(step):
            self._pictures(step, images, result)
        if self._is_logged(step):
            self._scalars(step, self._values, result, compiled)
        if compiled:
            self._meter = Meter()  # the next reading excludes the compilation

    def write(self) -> None:
        """Writes what is still in memory. Needed before a checkpoint: training resumes from there."""
        if self._detailed:
            self._detailed.write()

    def close(self) -> None:
        """Closes the files."""
        self.write()
        self._monitor.close()

    def _is_logged(self, step: int) -> bool:
        return step % self._params.save_summary_steps == 0 or step in (1, self._total)

    def _is_drawn(self, step: int) -> bool:
        return step == self._start + 1 or self._has_triplets(step)

    def _has_triplets(self, step: int) -> bool:
        every = self._params.save_picture_steps
        return every is not None and (step == 1 or step % every == 0) and is_kept(step // every, PICTURES)

    def _pictures(self, step: int, images: tf.Tensor, result: StepResult) -> None:
        """Writes the first batch after a start, and every `save_picture_steps` the hardest triplets of a batch."""
        params = self._params
        cluster = self._learner.cluster
        parts = [part.numpy() for part in cluster.strategy.experimental_local_results(images)]
        pixels = np.concatenate(parts)
        if len(pixels) < self._sampler.batch_size:  # other workers have the rest; it is a function of the step
            manifest, orientations = self._images.manifest, self._images.orientations
            batches = training_batches(manifest.files(), orientations, self._sampler, params, step - 1, step)
            try:
                pixels = next(iter(batches))[0].numpy()
            except tf.errors.OpError as error:
                files = [manifest.files()[index] for index in self._sampler.batch(step - 1)]
                raise broken_image(files, params, error) from error
        if step == self._start + 1:
            picture = batch_picture(pixels, _COLUMN.get(params.sampling, params.batch_k))
            self._monitor.picture("batch", picture, step)
        if self._has_triplets(step):
            triplets = hardest_triplets(result.labels, result.embeddings, params.metric)
            if triplets:
                self._monitor.picture("hardest_triplets", triplets_picture(pixels, triplets), step)

    def _scalars(self, step: int, values: dict[str, float], result: StepResult, compiled: bool) -> None:
        """Writes a line of metrics.jsonl, a point per curve, and a line of the log."""
        speed, self._meter = self._meter.read(), Meter()
        rate = speed["images_per_second"] / self._sampler.batch_size
        values = values | self._learner.optimizer.learning_rates(step - 1)
        values |= self._statistics(result, step) | speed
        self._monitor.scalars(step, values)
        left = math.nan if compiled else (self._total - step) / rate
        self._beat.set(images_per_second=speed["images_per_second"], seconds_left=None if compiled else left)
        line = progress_line(step, self._total, values | {"seconds_left": left})
        self._log.line(line, progress=step < self._total)

    def _statistics(self, result: StepResult, step: int) -> dict[str, float]:
        """The statistics of a logged step. Also writes its histograms."""
        params = self._params
        statistics = batch_statistics(result.labels, result.embeddings, params.metric, params.batch_k)
        anchors = result.anchors
        anchor_losses = _anchor_losses(result)[anchors.valid.numpy() > 0]
        complete = anchors.complete.numpy() > 0
        hardest = {name: getattr(anchors, name).numpy()[complete] for name in ("hardest_positive", "hardest_negative")}
        if is_kept(step // params.save_summary_steps, _HISTOGRAMS):
            norms = np.linalg.norm(result.embeddings.numpy(), axis=1)
            samples = distance_samples(result.labels, result.embeddings, params.metric)
            self._monitor.histograms(step, {"anchor_loss": anchor_losses, "embedding_norms": norms} | samples)
        return statistics | percentiles({"anchor_loss": anchor_losses} | hardest)


def _anchor_losses(result: StepResult) -> np.ndarray:
    """Mean loss of each anchor over its terms, 0 for anchors without terms: (B,)."""
    total, count = result.anchors.total.numpy(), result.anchors.count.numpy()
    return np.divide(total, count, out=np.zeros_like(total), where=count != 0)
