"""The checkpoints of a run: in folders of any name, with lists that are lost, with files that are damaged."""

import os
import shutil

import keras
import pytest
import tensorflow as tf

from model.configuration.loading import check_params
from model.losses.objective import Objective
from model.run.checkpoint_files import (
    UnreadableCheckpointError,
    find_checkpoint,
    is_complete,
    list_checkpoints,
    tidy,
    wait_for_checkpoint,
)
from model.run.restore import read_parts
from model.training.checkpoints import TrainingCheckpoints
from runtime.errors import UserError

NAMES = ["run[1]", "a*b?", "back\\slash", "new\nline", "a:", os.fsdecode(b"bad\xff"), "plain"]


def network(folder, keep=None):
    backbone, head = (keras.Sequential([keras.layers.Dense(2)], name=name) for name in ("backbone", "head"))
    model = keras.Sequential([backbone, head])
    model.build((None, 2))
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    return model, TrainingCheckpoints(folder, model, Objective(check_params({}, "defaults"), 1), optimizer, keep)


@pytest.fixture
def saved(tmp_path):
    _, checkpoints = network(tmp_path)
    for step in (0, 5, 10):
        checkpoints.save(step)
    return tmp_path


def test_folders_of_any_name(tmp_path):
    for name in NAMES:
        folder = tmp_path / name / "checkpoints"
        folder.mkdir(parents=True)
        model, checkpoints = network(folder, keep=2)
        for step in (1, 2, 3):
            checkpoints.save(step)
        assert [step for step, _ in list_checkpoints(folder)] == [2, 3], name
        assert len(list(folder.iterdir())) == 5, name  # two checkpoints and their list
        before = model.get_weights()
        again, checkpoints = network(folder)
        assert checkpoints.restore() == 3
        assert all((a == b).all() for a, b in zip(before, again.get_weights(), strict=True)), name
        assert find_checkpoint(tmp_path / name).name == "ckpt-3"


def test_a_users_own_files_stay(saved):
    for file in list(saved.glob("ckpt-5.*")):
        shutil.copy(file, saved / file.name.replace("ckpt-5", "paper-20"))
    (saved / "ckpt-5_templates").mkdir()
    (saved / "ckpt-10_temp").mkdir()  # TensorFlow leaves it where anything else is in it
    tidy(saved)
    assert [path.name for _, path in list_checkpoints(saved)] == ["ckpt-0", "ckpt-5", "ckpt-10"]
    _, checkpoints = network(saved, keep=1)
    checkpoints.save(15)
    names = {path.name.partition(".")[0] for path in saved.iterdir()}
    assert names == {"checkpoint", "paper-20", "ckpt-5_templates", "ckpt-15"}


def test_the_list_is_tensorflows(saved):
    state = tf.train.get_checkpoint_state(str(saved))
    assert state.model_checkpoint_path == str(saved / "ckpt-10")
    assert list(state.all_model_checkpoint_paths) == [str(saved / f"ckpt-{step}") for step in (0, 5, 10)]


def test_only_complete_checkpoints_count_without_the_list(saved):
    (saved / "checkpoint").unlink()
    index = (saved / "ckpt-10.index").read_bytes()
    assert is_complete(saved / "ckpt-10")
    for content in (b"", index[:-1], index[:20], b"\0" * len(index)):
        (saved / "ckpt-10.index").write_bytes(content)
        assert [step for step, _ in list_checkpoints(saved)] == [0, 5]
    (saved / "ckpt-5.data-00000-of-00001").rename(saved / "ckpt-5.data-00000-of-00002")
    assert [step for step, _ in list_checkpoints(saved)] == [0]
    (saved / "ckpt-0_temp").mkdir()
    assert list_checkpoints(saved) == []


def test_a_message_says_what_is_wrong_with_the_files(saved):
    model, _ = network(saved)
    parts = tf.train.Checkpoint(backbone=model.layers[0])
    data, index = saved / "ckpt-5.data-00000-of-00001", saved / "ckpt-5.index"
    whole, parts_of = data.read_bytes(), index.read_bytes()
    for content in (whole[: len(whole) // 2], b"", whole[:-20] + b"\0" * 20):
        data.write_bytes(content)
        with pytest.raises(
            UnreadableCheckpointError, match=r"ckpt-5 cannot be read: it is damaged \(.*put back a copy"
        ):
            read_parts(parts, saved / "ckpt-5", saved / "ckpt-5")
    data.unlink()
    with pytest.raises(UnreadableCheckpointError, match=r"data-00000-of-00001: No such file") as missing:
        read_parts(parts, saved / "ckpt-5", saved / "ckpt-5")
    assert "delete" not in str(missing.value)
    data.write_bytes(whole)
    index.write_bytes(parts_of[: len(parts_of) // 2])
    with pytest.raises(UnreadableCheckpointError, match="damaged"):
        read_parts(parts, saved / "ckpt-5", saved / "ckpt-5")
    index.unlink()
    with pytest.raises(UnreadableCheckpointError, match=r"ckpt-5.index: No such file"):
        read_parts(parts, saved / "ckpt-5", saved / "ckpt-5")


def test_waiting_ends_when_the_run_folder_is_deleted(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert not wait_for_checkpoint(run / "checkpoints", 0.01, 0.02)
    shutil.rmtree(run)
    with pytest.raises(UserError, match="the run folder no longer exists"):
        wait_for_checkpoint(run / "checkpoints", 0.01, 60)
