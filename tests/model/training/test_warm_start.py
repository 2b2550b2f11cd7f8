import numpy as np
import pytest

from model.configuration.loading import check_params
from model.network.build import build_embedder
from model.run.checkpoint_files import find_checkpoint, find_weights, list_checkpoints
from model.run.run_folder import RunFolder
from model.training.warm_start import warm_start
from runtime.errors import UserError


def build(**values):
    return build_embedder(check_params({"image_size": 16, "num_channels": [4, 4], "seed": 5} | values, "x"))


def weights_of(model, part):
    return model.get_layer(part).get_weights()


def equal(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


def test_weights_file_of_a_backbone(tmp_path):
    source, target = build(seed=1), build(seed=2)
    file = tmp_path / "b.weights.h5"
    source.get_layer("backbone").save_weights(file)
    head = weights_of(target, "head")
    said = warm_start(target, str(file))
    assert f"10 of 12 variables (backbone) from {file}; the head starts anew" in said
    assert equal(weights_of(source, "backbone"), weights_of(target, "backbone"))
    assert equal(weights_of(target, "head"), head)


def test_weights_file_of_a_whole_network(tmp_path):
    source, target = build(seed=1), build(seed=2)
    file = tmp_path / "all.weights.h5"
    source.save_weights(file)
    assert "12 of 12 variables (backbone and head)" in warm_start(target, str(file))
    assert equal(source.get_weights(), target.get_weights())


@pytest.mark.parametrize("other", [{"num_channels": [4, 8]}, {"num_channels": [4]}, {"use_batch_norm": False}])
def test_weights_file_that_does_not_fit_changes_nothing(tmp_path, other):
    build(**other).get_layer("backbone").save_weights(tmp_path / "b.weights.h5")
    target = build()
    before = target.get_weights()
    with pytest.raises(UserError, match="no variables of this network match"):
        warm_start(target, str(tmp_path / "b.weights.h5"))
    assert equal(before, target.get_weights())


def test_not_a_weights_file(tmp_path):
    (tmp_path / "b.h5").write_text("hello")
    with pytest.raises(UserError, match=r"b\.h5"):
        warm_start(build(), str(tmp_path / "b.h5"))


def test_checkpoint_of_another_run(trained):
    values = RunFolder(trained).load_trained_params().model_dump()
    target = build_embedder(check_params(values | {"seed": 9}, "x"))
    assert "12 of 12 variables (backbone and head)" in warm_start(target, str(trained))
    other_head = build_embedder(check_params(values | {"seed": 9, "embedding_size": 3}, "x"))
    head = weights_of(other_head, "head")
    said = warm_start(other_head, str(trained / "checkpoints" / "ckpt-4"))
    assert "10 of 12 variables (backbone)" in said
    assert equal(weights_of(other_head, "backbone"), weights_of(target, "backbone"))
    assert equal(weights_of(other_head, "head"), head)
    assert np.isfinite(np.concatenate([w.ravel() for w in other_head.get_weights()])).all()


def test_checkpoint_that_does_not_fit(trained):
    with pytest.raises(UserError, match="no variables of this network match"):
        warm_start(build(num_channels=[3, 3, 3]), str(trained))


def test_what_a_name_means(trained, tmp_path):
    assert find_weights("imagenet")[0] == "imagenet"
    assert find_weights(str(trained)) == ("checkpoint", trained / "checkpoints" / "ckpt-4")
    for wrong in ("image_net", str(tmp_path / "no.h5"), str(tmp_path)):
        with pytest.raises(UserError, match="warm_start_from"):
            find_weights(wrong)


def test_checkpoints_by_name(trained):
    assert [step for step, _ in list_checkpoints(trained / "checkpoints")] == [0, 2, 4]
    assert find_checkpoint(trained).name == "ckpt-4"
    assert find_checkpoint(trained, "ckpt-2").name == "ckpt-2"
    with pytest.raises(UserError, match="'ckpt-3'; there is latest, ckpt-0, ckpt-2, ckpt-4"):
        find_checkpoint(trained, "ckpt-3")
    with pytest.raises(UserError, match="'best'"):
        find_checkpoint(trained, "best")
