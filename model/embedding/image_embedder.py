"""A trained network in Python: images to embeddings, and embeddings to distances. `model.load` opens it."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dataset import images as decoding
from dataset.formats.packed import read_image
from dataset.loading.inspection import inspect_files
from dataset.loading.pipeline import broken_image
from model.configuration.params import Params
from model.embedding.embedder import Embedder, images_at_a_time
from model.embedding.pictures import Picture, as_pictures, is_picture, pixels_of
from model.metrics.ranking.gallery_distances import exact_distances
from model.network.build import build_embedder
from model.run.checkpoint_files import UnreadableCheckpointError, find_checkpoint
from model.run.model_json import NAME, Threshold, find_threshold, read_model_json
from model.run.restore import restore_model
from model.run.results import results_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError


class OperatingThreshold(float):
    """The distance below which two images count as the same identity; a number, with the rates it was chosen for.

    Attributes:
        fpr: false-positive rate: the share of pairs of different identities below the threshold.
        tpr: true-positive rate: the share of pairs of the same identity below the threshold.
        set: the evaluation set of these pairs.
    """

    fpr: float
    tpr: float
    set: str

    def __new__(cls, value: float, **known: Any) -> "OperatingThreshold":
        """`known` are the attributes' values."""
        self = super().__new__(cls, value)
        self.__dict__.update(known)
        return self

    @property
    def value(self) -> float:
        """The plain number."""
        return float(self)

    def __repr__(self) -> str:
        return f"{self.value} (fpr {self.fpr:g}, tpr {self.tpr:.3g} on {self.set})"


class ImageEmbedder:
    """A trained network: embeds images, and measures their distances.

    Attributes:
        params: parameters of the run.
        checkpoint: its name, such as "ckpt-1200".
        metric: the distance it was trained with, a module of `model.distances`.
        threshold: the operating point: an OperatingThreshold, or None if no results have one.
    """

    def __init__(self, model: keras.Model, params: Params, checkpoint: str, threshold: Threshold | None) -> None:
        """`model` is an embedder, `params` are the parameters of its run."""
        self.params, self.checkpoint, self.metric = params, checkpoint, params.metric
        self.threshold = threshold and OperatingThreshold(**threshold.model_dump())
        self._embedder = Embedder(model, params)

    def embed(self, images: Picture | Sequence[Picture], *, batch_size: int | None = None) -> np.ndarray:
        """The embeddings of images, in order: (N, D) float32, with the same bits that embed.py writes for the files.

        Args:
            images: one image or several, in any mixture and of any size: paths of JPEG or PNG files, Pillow images, or
                pixels (H, W), (H, W, 1) or (H, W, 3) uint8. If the network takes grey images, the decoder makes colour
                files grey, and Pillow makes all others grey; the two round differently.
            batch_size: images at a time; None is the run's `eval_batch_size`.

        Raises:
            UserError: for an image that cannot be read, or something else; names it.
        """
        listed = as_pictures(images)
        embeddings = np.empty((len(listed), self.params.embedding_size), np.float32)
        if not listed:
            return embeddings
        files = [str(image) if isinstance(image, str | Path) else None for image in listed]
        named = [file for file in files if file is not None]
        seen = inspect_files(named, self.params.check_images)
        for number, problem in seen.problems.items():
            raise UserError(f"{named[number]}: {problem}")
        if len(named) == len(listed):
            batches = self._embedder.batches(named, seen.orientations, batch_size=batch_size)
        else:
            orientations = dict(zip(named, seen.orientations, strict=True))
            size = images_at_a_time(batch_size, self.params, len(listed))
            batches = self._embedder.batches_of(self._loaded(listed, orientations, size), size)
        done = 0
        for vectors in batches:
            embeddings[done : done + len(vectors)] = vectors[:, 0]
            done += len(vectors)
        if (bad := ~np.isfinite(embeddings).all(axis=1)).any():
            raise UserError(f"image {int(bad.argmax())}: its embedding is NaN or infinite; load an earlier checkpoint")
        return embeddings

    def distance(self, a: Picture | Sequence[Picture], b: Picture | Sequence[Picture]) -> float | np.ndarray:
        """Distances by `metric`, computed as in evaluations.

        Args:
            a, b: an embedding (D,), embeddings (N, D), an image, or a list of images.

        Returns:
            float64: a number for one and one, (N,) for one and several, (N, M) for several and several.
        """
        (first, one), (second, other) = (self._vectors(given) for given in (a, b))
        found = exact_distances(first, second, self.metric)
        found = found[0] if one else found
        found = found[..., 0] if other else found
        return found if found.ndim else float(found)

    def _vectors(self, given: Picture | Sequence[Picture]) -> tuple[np.ndarray, bool]:
        """Embeddings (N, D), and whether `given` is a single one."""
        size = self.params.embedding_size
        if isinstance(given, list | tuple) and given and all(_is_vector(each) for each in given):
            given = np.stack(given)
        if isinstance(given, np.ndarray) and given.dtype.kind == "f":
            if given.ndim not in (1, 2) or given.shape[-1] != size:
                raise UserError(f"embeddings of shape {given.shape}: they must be ({size},) or (N, {size})")
            return np.atleast_2d(given), given.ndim == 1
        return self.embed(given), is_picture(given)

    def _loaded(self, listed: list[Picture], orientations: dict[str, int], size: int) -> Iterator[tf.Tensor]:
        """Batches (n, H, W, C) uint8 of images of any kind."""
        numbered = enumerate(listed)
        while batch := list(itertools.islice(numbered, size)):
            yield tf.stack([self._resized(number, image, orientations) for number, image in batch])

    def _resized(self, number: int, image: Picture, orientations: dict[str, int]) -> tf.Tensor:
        channels, shape = self.params.image_channels, self.params.image_shape
        if isinstance(image, str | Path):
            try:
                pixels = decoding.decode(tf.constant(read_image(image)), channels)
            except OSError as error:
                raise UserError(f"{image}: cannot be read: {error.strerror}") from None
            except tf.errors.OpError as error:
                raise broken_image([str(image)], self.params, error) from None
            pixels = decoding.turn_upright(pixels, tf.constant(orientations[str(image)]))
        else:
            try:
                pixels = tf.constant(pixels_of(image, channels))
            except UserError as error:
                raise UserError(f"image {number}: {error}") from None
        if pixels.shape[:2] == shape:
            return pixels
        return decoding.resize(pixels, shape, self.params.pad_to_square)


def _is_vector(given: object) -> bool:
    return isinstance(given, np.ndarray) and given.dtype.kind == "f" and given.ndim == 1


def open_embedder(source: str | Path, checkpoint: str | None = None) -> ImageEmbedder:
    """The result of `model.load`; its docstring says more."""
    path = Path(source)
    if path.is_file() or (path / NAME).is_file():
        if checkpoint is not None:
            raise UserError(f"{path}: an exported model has only one checkpoint; call load without {checkpoint!r}")
        return _open_exported(path)
    run = RunFolder(path)
    if not (run.params_json.is_file() or run.resolved_json.is_file()):
        raise UserError(
            f"{path}: neither a run (a folder with params.json) nor an exported model; give the path of one"
        )
    params = run.load_trained_params()
    found = find_checkpoint(path, checkpoint)
    model = build_embedder(params)
    try:
        restore_model(found, model)
    except UnreadableCheckpointError:  # a training or evaluation may have replaced it meanwhile
        before, found = found, find_checkpoint(path, checkpoint)
        if found == before:
            raise
        restore_model(found, model)
    return ImageEmbedder(model, params, found.name, find_threshold(results_of(run, params, found)))


def _open_exported(path: Path) -> ImageEmbedder:
    exported = read_model_json(path)
    file, params = exported.path, exported.trained_params
    if exported.format != "keras":
        raise UserError(
            f"{file}: load opens only runs and models of export.py --format keras; the model_card.md next to it shows "
            f"how to open {exported.format}"
        )
    # Built from the parameters: older versions of Keras do not understand the layers in the file.
    model = build_embedder(params.model_copy(update={"precision": "float32"}))
    try:
        model.load_weights(file)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{file}: these are not the weights of the network that {NAME} describes ({reason}); export it again"
        ) from None
    return ImageEmbedder(model, params, exported.checkpoint, exported.threshold)
