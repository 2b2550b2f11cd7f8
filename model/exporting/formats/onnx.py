"""ONNX, `model.onnx`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = "model.onnx"
PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
QUANTIZE = ("float16", "int8")

_AT_A_TIME = 10  # images in a step of the calibration


def write(model: Any, path: Path, quantize: str | None, images: np.ndarray) -> None:
    model.export(path, format="onnx", verbose=False)
    if quantize == "float16":
        _halve_weights(path)
    elif quantize == "int8":
        _quantize(path, images)


def _halve_weights(path: Path) -> None:
    """Stores weights in half precision; the arithmetic stays float32.

    (onnxruntime's `convert_float_to_float16` computes in half precision, which CPUs do not support, and also rounds the
    constants that scale the pixels and those in the heads.)
    """
    import onnx

    graph = (whole := onnx.load(path)).graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            name, half = tensor.name, f"{tensor.name}_float16"
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), half))
            casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(whole, path)


def _quantize(path: Path, images: np.ndarray) -> None:
    """Quantizes weights per channel, and activations; the ranges of the activations come from the images."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            batches = np.split(images, range(_AT_A_TIME, len(images), _AT_A_TIME))
            self._feeds = ({"images": batch} for batch in batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / FILE
        quant_pre_process(path, merged, skip_symbolic_shape=True)  # otherwise batch norm would be quantized separately
        # Weights of 7 bits: sums of products of 8 bits overflow on processors without VNNI (Recall@1 0.93 -> 0.65).
        quantize_static(merged, path, Images(), per_channel=True, reduce_range=True)


def open_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda images: session.run(None, {"images": images})[0]


def usage(path: Path) -> str:
    return """import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
embeddings = session.run(None, {"images": images})[0]"""
