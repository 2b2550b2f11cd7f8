"""The start of a training: checks, initial weights from a file, a checkpoint or a run, whitening."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.evaluations import params_of, result
from helpers.tiny import make_run

import train
from dataset.loading.checked import load_images
from dataset.loading.pipeline import embedding_batches
from model.configuration.loading import check_params
from model.network.build import build_embedder, build_network
from model.run.checkpoint_files import find_checkpoint, find_weights, list_checkpoints, tidy
from model.run.restore import restore_model
from model.run.run_folder import RunFolder, write_done
from model.training.start import nothing_to_do, reopened, tidy_run
from model.training.warm_start import warm_start
from model.training.whitening import check_whitening, whiten
from runtime.errors import UserError


def write_checkpoints(run: RunFolder, *steps: int) -> None:
    """The files by which a run has these checkpoints."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    for step in steps:
        (run.checkpoints / f"ckpt-{step}.index").touch()
    lines = [f'all_model_checkpoint_paths: "ckpt-{step}"\n' for step in steps]
    (run.checkpoints / "checkpoint").write_text("".join(lines))


def test_a_run_at_its_last_step_has_nothing_to_do_and_gets_done(tmp_path):
    run, params = RunFolder(tmp_path), params_of(train_iterations=4)
    assert nothing_to_do(run, params, 4) == []
    write_checkpoints(run, 2, 4)
    assert nothing_to_do(run, params, 4) == []  # without params.resolved.json its parameters are unknown
    run.write_resolved(params)
    assert nothing_to_do(run, params, 5) == []
    assert not run.done.exists()
    changed = params_of(train_iterations=4, seed=3)
    assert nothing_to_do(run, changed, 4) == [
        f"nothing to do: {run.checkpoints}/ckpt-4 is at step 4 of 4",
        "ignored, since nothing is trained: seed 0 -> 3",
    ]
    assert run.done.read_text() == "4\n"


LISTS = [None, b"", b"garbage {", b"\xff\xfe\0", b"[]", b'all_model_checkpoint_paths: "ckpt-2"\nall_mod']


@pytest.mark.parametrize("content", LISTS)
def test_a_lost_or_damaged_list_of_checkpoints_is_rebuilt(run, content):
    """Otherwise a training would start from scratch and overwrite the checkpoints."""
    listed = run.checkpoints / "checkpoint"
    listed.write_bytes(content) if content is not None else listed.unlink()
    for name in ("ckpt-7.index", "ckpt-7.data-00000-of-00001", "ckpt-9.data-00000-of-00001"):  # half-written
        (run.checkpoints / name).write_bytes(b"half")
    assert [step for step, _ in list_checkpoints(run.checkpoints)] == [0, 2, 4]
    (note,) = tidy(run.checkpoints)
    assert note == f"{listed} was missing or damaged; it was rebuilt from the files: ckpt-0, ckpt-2, ckpt-4"
    assert tidy(run.checkpoints) == []
    state = tf.train.get_checkpoint_state(str(run.checkpoints))
    assert [path.rpartition("/")[2] for path in state.all_model_checkpoint_paths] == ["ckpt-0", "ckpt-2", "ckpt-4"]
    assert tf.train.latest_checkpoint(str(run.checkpoints)) == str(run.checkpoints / "ckpt-4")


def test_a_training_without_its_list_resumes(run):
    (run.checkpoints / "checkpoint").unlink()
    train.main(["--model_dir", str(run.folder), "--set", "train_iterations=5", "--set", "image_size=24"])
    said = run.train_log.read_text()
    assert "was missing or damaged; it was rebuilt from the files" in said
    assert f"resumed from {run.checkpoints}/ckpt-4" in said
    assert "image_size 16 -> 24 (the weights were trained on images of the old size" in said


def test_what_kills_left_is_removed(run):
    for name in ("ckpt-9.index", "ckpt-9.data-00000-of-00001", "ckpt-7.data-00000-of-00001", "checkpoint.tmp12ab"):
        (run.checkpoints / name).write_bytes(b"half")
    (run.checkpoints / "ckpt-9_temp").mkdir()
    (run.checkpoints / "ckpt-4_temp").mkdir()  # killed after the index was written
    for file in (run.folder / ".metrics.jsonl.77.tmp", run.triples / ".epoch-1.npy.77.tmp"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert tidy_run(run) == []
    names = {path.name for path in run.checkpoints.iterdir()}
    ends = ("index", "data-00000-of-00001")
    assert names == {"checkpoint", *(f"ckpt-{step}.{end}" for step in (0, 2, 4) for end in ends)}
    assert not list(run.folder.rglob("*.tmp"))


def test_a_checkpoint_that_the_list_lacks_is_the_newest(run):
    (run.checkpoints / "checkpoint").write_text(
        'model_checkpoint_path: "ckpt-2"\nall_model_checkpoint_paths: "ckpt-2"\n'
    )
    assert find_checkpoint(run.folder).name == "ckpt-4"
    (run.checkpoints / "ckpt-4.data-00000-of-00001").unlink()
    assert find_checkpoint(run.folder).name == "ckpt-2"


@pytest.mark.parametrize("kept", [["metrics.jsonl"], ["results.jsonl"], ["best.json"], ["checkpoints/checkpoint"]])
def test_a_trained_run_without_checkpoints_is_not_begun_again(run, kept):
    files = {"results.jsonl": result(2, 0.5), "best.json": {"checkpoint": "ckpt-2"}}
    for name, value in files.items():
        (run.folder / name).write_text(json.dumps(value) + "\n")
    for file in run.folder.rglob("*"):
        if file.is_file() and str(file.relative_to(run.folder)) not in [*kept, "params.json"]:
            file.unlink()
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=r"(no longer exist in|but none is complete now).*; put them back"):
        train.main(["--model_dir", str(run.folder)])
    assert before == {file: file.read_bytes() for file in before}


def test_done_is_restored_only_when_nothing_was_trained(tmp_path):
    run = RunFolder(tmp_path)

    @reopened(run)
    def fail(*checkpoints: int) -> None:
        """A training that writes checkpoints and fails."""
        assert not run.done.exists()
        write_checkpoints(run, *checkpoints)
        raise UserError("broken")

    with pytest.raises(UserError, match="broken"):
        fail(2)
    assert not run.done.exists()  # there was none before
    write_done(run, 2, "no better")
    before = run.done.read_text()
    with pytest.raises(UserError, match="broken"):
        fail(2)
    assert run.done.read_text() == before
    with pytest.raises(UserError, match="broken"):
        fail(2, 3)
    assert not run.done.exists()


def test_a_whitened_network_is_not_trained_further(tmp_path):
    run = RunFolder(tmp_path)
    run.write_resolved(params_of(whitening="end"))
    with reopened(run):  # stopped before its end
        pass
    write_done(run, 2)
    with pytest.raises(UserError, match="ended with a whitening"), reopened(run):
        pass
    assert run.done.exists()


def build(**values):
    return build_embedder(check_params({"image_size": 16, "num_channels": [4, 4], "seed": 5} | values, "x"))


def weights_of(model, part):
    return model.get_layer(part).get_weights()


def equal(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


def test_weights_file_of_a_backbone_or_a_whole_network(tmp_path):
    source, target = build(seed=1), build(seed=2)
    file = tmp_path / "b.weights.h5"
    source.get_layer("backbone").save_weights(file)
    head = weights_of(target, "head")
    said = warm_start(target, str(file))
    assert f"10 of 12 variables (backbone) from {file}; the head starts from scratch" in said
    assert equal(weights_of(source, "backbone"), weights_of(target, "backbone"))
    assert equal(weights_of(target, "head"), head)
    source.save_weights(file)
    assert "12 of 12 variables (backbone and head)" in warm_start(target, str(file))
    assert equal(source.get_weights(), target.get_weights())


@pytest.mark.parametrize("other", [{"num_channels": [4, 8]}, {"num_channels": [4]}, {"use_batch_norm": False}])
def test_weights_file_that_does_not_fit_changes_nothing(tmp_path, other):
    build(**other).get_layer("backbone").save_weights(tmp_path / "b.weights.h5")
    target = build()
    before = target.get_weights()
    with pytest.raises(UserError, match="the weights do not fit this network"):
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


def test_sources_of_weights_by_name(trained, tmp_path):
    assert find_weights("imagenet")[0] == "imagenet"
    assert find_weights(str(trained)) == ("checkpoint", trained / "checkpoints" / "ckpt-4")
    for wrong in ("image_net", str(tmp_path / "no.h5"), str(tmp_path)):
        with pytest.raises(UserError, match="warm_start_from"):
            find_weights(wrong)


def test_checkpoints_by_name(trained):
    assert [step for step, _ in list_checkpoints(trained / "checkpoints")] == [0, 2, 4]
    assert find_checkpoint(trained).name == "ckpt-4"
    assert find_checkpoint(trained, "ckpt-2").name == "ckpt-2"
    with pytest.raises(UserError, match="'ckpt-3'; it has latest, ckpt-0, ckpt-2, ckpt-4"):
        find_checkpoint(trained, "ckpt-3")
    with pytest.raises(UserError, match="'best'"):
        find_checkpoint(trained, "best")


VALUES = {"image_size": 16, "num_channels": [4, 8], "embedding_size": 6, "warm_start_from": "x", "whitening": "start"}


@pytest.fixture
def images(dataset):
    return load_images(dataset / "train.csv", dataset)


def features_of(network, params, images):
    """The feature maps of all training images, in float64: (N, h, w, F)."""
    batches = embedding_batches(images.manifest.files(), images.orientations, params, 7)
    return np.concatenate([network.trunk(batch).numpy() for batch in batches]).astype(float)


@pytest.mark.parametrize(
    ("values", "layers"),
    [
        ({"head": "direct"}, {"embedding": np.mean}),
        ({"head": "direct_normalize", "pooling": "max"}, {"embedding": np.max}),
        ({"head": "cgd", "descriptors": "SM"}, {"reduce_0_S": np.mean, "reduce_1_M": np.max}),
    ],
)
def test_layers_whiten_their_inputs(images, values, layers):
    params = check_params(VALUES | values, "x")
    network = build_network(params)
    said = whiten(network, params, images)
    assert f"features of {len(images):,} training images" in said
    maps = features_of(network, params, images)
    for name, pool in layers.items():
        pooled = pool(maps, axis=(1, 2))
        kernel, bias = network.embedder.get_layer("head").get_layer(name).get_weights()
        covariance = np.cov(pooled.T, bias=True)
        variances, directions = np.linalg.eigh(covariance)
        variances, directions = variances[::-1][: len(bias)], directions[:, ::-1][:, : len(bias)]
        outputs = pooled @ kernel + bias
        np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-4)
        expected = np.diag(variances / (variances + 1e-3 * variances[0]))
        np.testing.assert_allclose(np.cov(outputs.T, bias=True), expected, atol=1e-3)
        # The directions are those of the covariance, up to the sign.
        cosines = np.abs(np.sum(directions * kernel, axis=0)) / np.linalg.norm(kernel, axis=0)
        np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_more_dimensions_than_features_are_refused():
    params = check_params(VALUES | {"head": "direct", "embedding_size": 9}, "x")
    with pytest.raises(
        UserError, match=r"whitening: embedding_size 9 needs 9 dimensions, but there are only 8 pooled features"
    ):
        check_whitening(build_network(params), params)


def test_a_training_ends_with_white_embeddings(trained, dataset, images, tmp_path):
    values = {"warm_start_from": str(trained), "whitening": "both", "head": "direct", "save_checkpoints_steps": 1}
    run = RunFolder(make_run(tmp_path / "run", dataset, **values, train_iterations=2))
    assert train.main(["--model_dir", str(run.folder)]) == 0
    said = [line for line in run.train_log.read_text().splitlines() if "whitening: the head's linear layer" in line]
    assert len(said) == 2
    params = run.load_trained_params()
    files, orientations = images.manifest.files(), images.orientations
    spread = {}
    for step in (0, 1, 2):
        network = build_network(params)
        restore_model(run.checkpoints / f"ckpt-{step}", network.embedder)
        embeddings = np.concatenate([network.embedder(b) for b in embedding_batches(files, orientations, params, 8)])
        spread[step] = np.abs(np.corrcoef(embeddings.T) - np.eye(params.embedding_size)).max()
    assert max(spread[0], spread[2]) < 0.01 < spread[1]
