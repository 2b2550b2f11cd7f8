"""Imports TensorFlow and Keras without start-up messages, and selects the devices.

A command calls `prepare` before anything else imports TensorFlow.
"""

import importlib
import os
import sys
from types import ModuleType

from model import keras_settings
from runtime.errors import UserError
from runtime.quiet import blaming_keras_json, quiet


def prepare(device: str = "auto", deterministic: bool = False) -> list[str]:
    """As `select`; and gives the whole process the settings of Keras that networks need.

    Raises:
        UserError: as `select`, and for a keras.json that Keras refuses.
    """
    names = select(device, deterministic)
    with blaming_keras_json():
        importlib.import_module("keras")
    keras_settings.set_needed()
    return names


def select(device: str = "auto", deterministic: bool = False) -> list[str]:
    """Imports TensorFlow, selects its devices and returns their names.

    Args:
        device: "auto" (all GPUs, or the CPU without any), "cpu", "gpu", or "gpu:1" for the GPU of that number.
        deterministic: equal input gives equal bits in every op.

    Raises:
        UserError: for another name, or a GPU that does not exist.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # only errors; Python still sees every exception
    kind, number = split_device(device, "--device")
    tf = _import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and len(gpus) <= int(number or 0):
        raise UserError(f"--device {device}: TensorFlow sees {len(gpus)} GPUs; check the driver, or use --device cpu")
    chosen = [] if kind == "cpu" else gpus[int(number) : int(number) + 1] if number else gpus
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        # Training and evaluator may share a GPU: allocate memory only as needed.
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return [gpu.name.rpartition("physical_device:")[2] for gpu in chosen] or ["CPU"]


def local_devices() -> list[str]:
    """The devices of this process that share work: the selected GPUs, or without any all logical CPU devices."""
    tf = _import_tensorflow()
    return [each.name for each in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def split_device(device: str, flag: str) -> tuple[str, str]:
    """("gpu", "1") of "gpu:1", ("cpu", "") of "cpu".

    Raises:
        UserError: for another name; it names the flag.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (number and (kind != "gpu" or not number.isdigit())):
        raise UserError(f"{flag} {device!r}: it must be auto, cpu, gpu or gpu:N")
    return kind, number


def _import_tensorflow() -> ModuleType:
    """Imports TensorFlow and hides what its libraries write to stderr before logging is set up."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with blaming_keras_json(), quiet(2):
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow
