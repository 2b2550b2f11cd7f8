"""Writes an exported model: the file, the comparison with the run, then model.json and the card."""

import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dataset.formats.prepared import open_prepared
from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.exporting.card import render_card
from model.exporting.comparison import Comparison, compare
from model.exporting.request import CARD, LIMIT, Request
from model.exporting.sample import read_training_images
from model.network.build import build_embedder
from model.run.checkpoint_files import step_of
from model.run.model_json import (
    Check,
    ExportedModel,
    ModelInput,
    digest_file,
    find_threshold,
    read_model_json,
    write_model_json,
)
from model.run.restore import restore_model
from model.run.results import results_of
from runtime.errors import UserError
from runtime.json_files import read_json_object
from runtime.plain_paths import plain_path
from runtime.printable import print_line
from runtime.quiet import quiet
from runtime.versions import find_versions

_RESIZE = "bilinear, antialiased where a side shrinks, rounded to whole numbers"
_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")


class DifferenceError(UserError):
    """The exported model's embeddings differ too much from the run's."""

    code = 1


def export(request: Request, folder: Path) -> int:
    """Exports the network of a run into an empty folder and prints the comparison; returns the model's size in bytes.

    Raises:
        DifferenceError: when the exported model differs too much from the run.
        UserError: when the network cannot be converted, or a file cannot be read or written.
    """
    params, module = request.params.model_copy(update={"precision": "float32"}), request.module
    tf.config.experimental.enable_tensor_float_32_execution(False)  # with it, a GPU rounds more than the limit allows
    embedder = _restore(request, params)
    shape = embedder.model.input_shape
    quantized = f", {request.quantize}" if request.quantize else ""
    print_line(
        f"exporting {request.checkpoint} as {request.format}{quantized}: images (N, {', '.join(map(str, shape[1:]))}) "
        f"uint8 to embeddings (N, {params.embedding_size}) float32"
    )
    images = _calibration_images(request) if request.quantize == "int8" else np.empty((0, *shape[1:]))
    path = folder / module.FILE
    with plain_path(path) as plain:
        _attempt(request, module.write, embedder.model, Path(plain), request.quantize, images)
        opened = _attempt(request, module.open_model, Path(plain))
        comparison = compare(
            lambda batch: embedder.forward(batch).numpy(),
            lambda batch: _attempt(request, opened, batch),
            request.sample,
            params,
        )
    check = _judge(request, comparison)
    precision = _compare_precisions(request, comparison)
    write_model_json(folder, _describe(request, check, path, shape))
    card = render_card(read_model_json(folder), module.usage(path), precision)
    (folder / CARD).write_text(card, encoding="utf-8")
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def _restore(request: Request, params: Params) -> Embedder:
    model = build_embedder(params)
    restore_model(request.checkpoint, model)
    embedder = Embedder(model, params)
    embedder.warm_up(1)  # Keras converts only networks that have been called
    return embedder


def _attempt(request: Request, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of a converter or a runtime, without its output; an error of any kind becomes one line."""
    with quiet(1, 2):
        try:
            return function(*args)
        except UserError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # such as a full disk
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"--format {request.format} fails for this network ({reason}); choose another format"
            ) from error


def _calibration_images(request: Request) -> np.ndarray:
    """Training images, or the sample's if --images is given: (n, H, W, C) uint8."""
    sample, params = request.sample, request.params
    files, orientations = [sample.files[row] for row in sample.compared], sample.orientations[sample.compared]
    if not request.images_given:
        training = read_training_images(open_prepared(params.dataset), params)
        files, orientations = training.manifest.files(), training.orientations
    return next(embedding_batches(files, orientations, params, len(files))).numpy()


def _judge(request: Request, comparison: Comparison) -> Check:
    """Prints the comparison; raises a DifferenceError if the difference is too large, except for int8."""
    sample, limited = comparison.sample, request.quantize != "int8"
    print_line(
        f"compared with the run's network in float32, over {len(sample.compared)} images ({sample.source}): largest "
        f"difference of a coordinate {comparison.describe()}" + (f" (limit {LIMIT:g})" if limited else "")
    )
    if limited and not comparison.relative_difference <= LIMIT:  # also where it is NaN
        raise DifferenceError(
            f"--format {request.format}: its embeddings differ from the run's by {comparison.describe()}; the limit "
            f"is {LIMIT:g}, so nothing was written; choose another --format or --quantize"
        )
    check = comparison.check()
    if recall := check.recall:
        print_line(
            f"Recall@1 over {recall.images:,} images ({sample.source}): {recall.run:.2%} for the run's network, "
            f"{recall.exported:.2%} for the exported model"
        )
    return check


def _compare_precisions(request: Request, comparison: Comparison) -> str | None:
    """Prints and returns a sentence on how far the run's own precision is from float32; None if it is float32."""
    if request.params.precision == "float32":
        return None
    sample = comparison.sample
    files, orientations = [sample.files[row] for row in sample.compared], sample.orientations[sample.compared]
    embeddings = comparison.of_run.copy()
    embeddings[sample.compared] = _restore(request, request.params).embed(files, orientations)
    sentence = (
        f"The run itself computes in {request.params.precision}, so its embeddings differ from those in float32: on "
        f"the same images by up to {replace(comparison, of_export=embeddings).describe()}."
    )
    print_line(sentence)
    return sentence


def _describe(request: Request, check: Check, path: Path, shape: tuple[Any, ...]) -> ExportedModel:
    params, run = request.params, request.run
    recorded = params.model_copy(
        update={"dataset": run.load_trained_params().dataset}
    )  # not the copy that --set may name
    results = results_of(run, recorded, request.checkpoint)
    data = _describe_data(params)
    record = read_json_object(run.resolved_json) if run.resolved_json.exists() else {}
    versions = record.get("versions")
    trained = (versions if isinstance(versions, dict) else {}) | (
        {"git_commit": record["git_commit"]} if record.get("git_commit") else {}
    )
    return ExportedModel(
        format=request.format,
        file=path.name,
        sha256=digest_file(path),
        quantize=request.quantize,
        name=os.fsencode(run.folder.resolve().name).decode("utf-8", "replace"),
        input=ModelInput(
            shape=(None, *shape[1:]),
            dtype="uint8",
            channels="grey" if params.image_channels == 1 else "RGB",
            resize=_RESIZE,
            pad_to_square=params.pad_to_square,
        ),
        embedding_size=params.embedding_size,
        metric=params.metric,
        threshold=find_threshold(results),
        checkpoint=request.checkpoint.name,
        step=step_of(request.checkpoint),
        params=params.model_dump(),
        results=[{key: value for key, value in line.items() if key != "breakdown"} for line in results],
        data=data,
        versions={"trained": trained, "exported": {"python": platform.python_version()} | find_versions(_PACKAGES)},
        licence={"code": "MIT", "data": data["licence"] if data else None, "started_from": params.warm_start_from},
        check=check,
    )


def _describe_data(params: Params) -> dict[str, Any] | None:
    """The content of dataset.json; None if there is none."""
    try:
        info = read_json_object(open_prepared(params.dataset).folder / "dataset.json")
    except UserError:
        return None
    words = {key: str(info[key]) if info.get(key) else None for key in ("name", "origin", "licence")}
    return words | {"counts": info["counts"] if isinstance(info.get("counts"), dict) else {}}
