"""Embeds a list of images into a file: resumes after a kill, stops cleanly, and writes the file when complete."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dataset.loading.checked import CheckedImages
from model.configuration.params import Params
from model.embedding.contents import Block, Contents
from model.embedding.embedder import Embedder, images_at_a_time
from model.embedding.outputs import most_bytes, write_output
from model.embedding.partial import PartialEmbeddings, fingerprint_of
from model.embedding.shards import Shard
from model.embedding.views import TestTimeAugmentation, aggregate
from model.network.build import build_embedder
from model.run.checkpoint_files import step_of
from model.run.devices import local_devices
from model.run.restore import restore_model
from runtime.errors import UserError
from runtime.files import temporary_name
from runtime.printable import print_line
from runtime.progress import Progress
from runtime.stopping import StopRequest
from runtime.versions import find_versions

_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras")  # other versions of these may round differently


@dataclass(frozen=True)
class Job:
    """What to embed, and how.

    Attributes:
        checkpoint: path without suffix.
        params: of the run.
        images: the whole list.
        shard: the part of the list to embed; None is the whole list.
        augmentation, aggregator: the variants of each image, and how their embeddings become one.
        half: store float16.
        batch_size: images at a time; None is `eval_batch_size`.
        quiet: print nothing.
    """

    checkpoint: Path
    params: Params
    images: CheckedImages
    shard: Shard | None
    augmentation: TestTimeAugmentation
    aggregator: str | None
    half: bool
    batch_size: int | None
    quiet: bool

    @property
    def rows(self) -> tuple[int, int]:
        """The first row of the list to embed, and the one after the last."""
        return (self.shard or Shard(1, 1)).rows(len(self.images))

    def say(self, line: str) -> None:
        """Prints a line, unless `quiet`."""
        if not self.quiet:
            print_line(line)


def embed_to_file(job: Job, out: Path) -> int:
    """Embeds the images and writes the file.

    Until the file is complete, the embeddings so far are in `.<name>.partial` next to it.

    Args:
        job: what to embed, and how.
        out: the file to write.

    Returns:
        The exit code: 0 if the file is written, else that of the stop.

    Raises:
        UserError: for a checkpoint or an image that cannot be read, an embedding that is NaN or infinite, or a full
            disk.
    """
    batch_size = images_at_a_time(job.batch_size, job.params, len(job.images))
    # First, because the checkpoint may be replaced while it is read.
    whole = fingerprint_of(job.checkpoint, job.images, job.params, batch_size)
    start, stop = job.rows
    model = build_embedder(job.augmentation.network_params(job.params))
    restore_model(job.checkpoint, model)
    embedder = Embedder(model, job.params, job.augmentation, local_devices())

    origin = whole | {
        "image_root": str(job.images.manifest.image_root.absolute()),
        "augmentation": ", ".join(job.augmentation.names),
        "shard": str(job.shard),
        "kind of device": "GPU" if tf.config.get_visible_devices("GPU") else "CPU",
        "version": ", ".join(f"{name} {version}" for name, version in find_versions(_PACKAGES).items()),
    }
    manifest, types, dimensions = job.images.manifest, job.augmentation.names, job.params.embedding_size
    paths, identities = manifest.paths[start:stop], manifest.identities[start:stop] if manifest.labelled else None
    contents = Contents(paths, identities, dimensions, types, job.half, _attributes(job, whole))
    partial_file = temporary_name(out, ".partial")
    partial = PartialEmbeddings(partial_file, origin, stop - start, len(types), dimensions)
    if partial.note:
        job.say(partial.note)
    _check_space(out, (stop - start - partial.done) * len(types) * dimensions * 4 + most_bytes(out, contents))
    request = _embed_rest(job, embedder, partial)
    if request:
        job.say(
            f"stopped by {request.requested}: {partial.done:,} of {stop - start:,} images are embedded (kept in "
            f"{partial_file}); run the same command again to resume"
        )
        return request.code
    write_output(out, contents, _aggregated(partial, job.aggregator))
    partial_file.unlink()
    return 0


def _check_space(out: Path, needed: int) -> None:
    """Raises a UserError if the disk has too little space for the files, before any time is spent."""
    free = shutil.disk_usage(out.absolute().parent).free
    if free < needed:
        raise UserError(
            f"cannot write {out}: embedding needs {needed / 2**20:,.1f} MB of disk space there, but only "
            f"{free / 2**20:,.1f} MB are free; free some space, or choose another disk"
        )


def _embed_rest(job: Job, embedder: Embedder, partial: PartialEmbeddings) -> StopRequest | None:
    """Embeds the remaining images; returns the request that stopped it, if any."""
    start, stop = job.rows
    row = before = start + partial.done
    if row == stop:
        return None
    manifest = job.images.manifest
    embedder.warm_up(images_at_a_time(job.batch_size, job.params, len(manifest)))
    progress = Progress("embedded", stop - row, "images")
    batches = embedder.batches(
        manifest.files(), job.images.orientations, batch_size=job.batch_size, start=row, stop=stop
    )
    with StopRequest() as request:
        for vectors in batches:
            finite = np.isfinite(vectors).all(axis=(1, 2))
            if not finite.all():
                path = manifest.paths[row + int(finite.argmin())]
                raise UserError(
                    f"{job.checkpoint}: the embedding of {path} is NaN or infinite; embed with an earlier checkpoint"
                )
            partial.append(vectors)
            row += len(vectors)
            if not job.quiet:
                progress(row - before)
            if request.requested and row < stop:
                return request
    return None


def _aggregated(partial: PartialEmbeddings, aggregator: str | None) -> Iterator[Block]:
    for variants in partial.blocks():
        yield aggregate(variants, aggregator), variants.swapaxes(0, 1) if variants.shape[1] > 1 else None


def _attributes(job: Job, whole: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the file: how it was made."""
    attributes: dict[str, Any] = {
        "checkpoint": str(job.checkpoint),
        "step": step_of(job.checkpoint),
        "params": json.dumps(job.params.model_dump()),
    }
    if job.aggregator:
        attributes["aggregator"] = job.aggregator
    if job.shard:
        attributes["shard"] = str(job.shard)
        attributes["shard_of"] = json.dumps(whole | {"images": len(job.images)})
    return attributes
