"""LiteRT (TensorFlow Lite), `model.tflite`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = "model.tflite"
PACKAGES = ("ai_edge_litert",)
QUANTIZE = ("float16", "int8")

# Operations of heads that stay in float32: in 8 bits, a divisor can become 0.
_FLOAT_IN_INT8 = ["DIV", "POW", "SELECT", "SELECT_V2", "SQRT", "SQUARE", "SUM"]


def write(model: Any, path: Path, quantize: str | None, images: np.ndarray) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(_convert_to_int8(converter, images) if quantize == "int8" else converter.convert())


def _convert_to_int8(converter: Any, images: np.ndarray) -> bytes:
    """Quantizes weights and activations; the ranges of the activations come from the images."""
    import tensorflow as tf

    def calibration_data() -> Any:
        return ([image[None]] for image in images)

    converter.representative_dataset = calibration_data
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_FLOAT_IN_INT8)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=calibration_data, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def open_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(source, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return run


def usage(path: Path) -> str:
    return """from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("model.tflite")
source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.resize_tensor_input(source["index"], images.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(source["index"], images)
interpreter.invoke()
embeddings = interpreter.get_tensor(result["index"])"""
