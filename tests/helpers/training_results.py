"""The files of a training, read by TensorFlow itself."""

import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import Done, command, setting

from runtime.json_files import read_json_lines

# "mirrored" training finds two devices; everything else uses only the first one.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def checkpoint_values(run: Path, step: int) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint by name."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def assert_same_bits(one: Path, two: Path, step: int) -> None:
    """Asserts that two runs have equal checkpoints at this last step, and equal logs up to it."""
    a, b = checkpoint_values(one, step), checkpoint_values(two, step)
    assert a.keys() == b.keys()
    assert len(a) >= 30  # network, Adam's two moments, step, learning rate
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name
    lines = [read_json_lines(run / "metrics.jsonl") for run in (one, two)]
    assert [line["step"] for line in lines[0]] == list(range(1, step + 1))
    for name in ("step", "loss", "learning_rate", "valid_terms"):
        assert [line[name] for line in lines[0]] == [line[name] for line in lines[1]]


def events(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """(step, kind) of all points in a folder's event files, by tag."""
    found: dict[str, list[tuple[int, str]]] = {}
    for file in sorted(folder.glob("events.*")):
        for record in tf.compat.v1.io.tf_record_iterator(str(file)):
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.metadata.plugin_data.plugin_name))
    return found


def train_smoothly(run: Path, *words: object) -> Done:
    """Trains a run with a large epsilon of Adam. Adam divides by the gradient's size, which would magnify rounding."""
    with mock.patch("model.training.optimizer.EPSILON", 0.1):
        return command("train.py", "--model_dir", run, *words)


def assert_two_devices_train_alike(one: Path, two: Path, *ends: int, atol: float = 2e-5) -> None:
    """Trains in the new folder `two` as `one` was, but on two devices, up to each of the steps `ends` in turn.

    Replicas that gather their embeddings must take the same steps as one device with the whole batch.
    """
    two.mkdir()
    shutil.copy(one / "params.json", two)
    for end in ends:
        done = train_smoothly(two, *setting(distribution="mirrored", train_iterations=end))
        assert done.returncode == 0, done.stderr
        assert "on 2 devices" in done.stdout
    for a, b in zip(*(read_json_lines(run / "metrics.jsonl") for run in (one, two)), strict=True):
        assert a.keys() == b.keys()
        for figure in a.keys() - {"images_per_second", "data_wait_share"}:
            assert a[figure] == pytest.approx(b[figure], rel=1e-3, abs=1e-4), figure
    first, *values = (checkpoint_values(run, step) for run, step in ((one, 0), (one, ends[-1]), (two, ends[-1])))
    assert values[0].keys() == values[1].keys()
    for name in values[0]:
        np.testing.assert_allclose(values[0][name], values[1][name], atol=atol, err_msg=name)
    learned = [name for name in first if name.startswith(("backbone/", "optimizer/_trainable"))]
    assert max(np.abs(first[name] - values[0][name]).max() for name in learned) > 1e-2
