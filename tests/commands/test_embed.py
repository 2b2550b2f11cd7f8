import json

import h5py
import numpy as np
import pytest
from helpers.commands import process

from benchmarks.input_pipeline import make_photographs
from dataset.formats.manifest import read_manifest
from embed import main
from model.configuration.loading import check_params
from model.embedding.embedder import Embedder
from model.embedding.hdf5_file import read_embeddings
from model.network.build import build_embedder
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.training.warm_start import warm_start
from runtime.errors import exit_code


@pytest.fixture
def words(trained, dataset, tmp_path):
    """A whole command line."""
    return ["--model_dir", str(trained), "--dataset", str(dataset / "test.csv"), "--filename", str(tmp_path / "o.h5")]


def test_embed_writes_what_the_network_says(trained, dataset, words, tmp_path):
    done = process("embed.py", *words)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0].startswith("embedding 30 images of ")
    assert "images/s" in said[1]
    assert said[2] == f"wrote {tmp_path / 'o.h5'}: emb (30, 8)"
    manifest = read_manifest(dataset / "test.csv", dataset)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["emb"].shape == (30, 8)
        assert file["emb"].dtype == np.float32
        assert list(file["path"].asstr()) == list(manifest.paths)
        assert list(file["identity"].asstr()) == list(manifest.identities)
        assert h5py.check_string_dtype(file["path"].dtype).encoding == "utf-8"
        assert list(file["augmentation_types"].asstr()) == ["original"]
        assert "emb_aug" not in file
        attributes = dict(file.attrs)
        emb = file["emb"][:]
    assert attributes["step"] == 4
    assert attributes["checkpoint"].endswith("checkpoints/ckpt-4")
    assert json.loads(attributes["params"])["embedding_size"] == 8
    params = RunFolder(trained).load_trained_params()
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    by_hand = Embedder(model, params).embed(manifest.files(), np.ones(30, np.uint8), batch_size=7)
    np.testing.assert_allclose(emb, by_hand, rtol=0, atol=1e-6 * np.linalg.norm(by_hand, axis=1).min())
    assert [file.name for file in tmp_path.iterdir()] == ["o.h5"]


def test_image_root_and_checkpoint_by_name(dataset, words, tmp_path, capsys):
    csv = tmp_path / "list.csv"
    csv.write_text("a,images/id 0/0.jpg\nb,images/id 1/3.jpg\n")
    words = [*words, "--dataset", str(csv), "--quiet"]
    assert exit_code(lambda: main(words)) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/images/id 0/0.jpg: no such file" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o.h5").exists()
    assert main([*words, "--image_root", str(dataset), "--checkpoint", "ckpt-0", "--batch_size", "1"]) == 0
    assert read_embeddings(tmp_path / "o.h5").attributes["step"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--flip_augment"],
            "--flip_augment: images get 2 embeddings each; say how they become one: --aggregator mean",
        ),
        (["--crop_augment", "five"], "--crop_augment five: images get 5 embeddings each"),
        (["--crop_augment", "center", "--aggregator", "mean"], "there is nothing to combine; drop it"),
        (["--aggregator", "normalized_mean"], "there is nothing to combine; drop it"),
        (["--crop_augment", "avgpool", "--set", "pooling=flatten"], "pooling 'flatten'"),
        (["--shard", "4/3"], "--shard 4/3: it must be i/n with i from 1 to n"),
        (["--shard", "1/31"], "has only 30 images; make at most as many shards"),
        (["--batch_size", "0"], "--batch_size: 0: it must be a whole number of at least 1"),
        (["--filename", "no/such/folder/o.h5"], "does not exist; make it first"),
        (["--checkpoint", "ckpt-7"], "there is no checkpoint 'ckpt-7'; there is latest"),
    ],
)
def test_refusals(words, tmp_path, capsys, more, message):
    """One line, exit code 2, before anything is embedded."""
    assert exit_code(lambda: main([*words, *more])) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not any(tmp_path.iterdir())


def test_an_embedding_that_is_no_number_names_its_image(words, tmp_path, capsys, monkeypatch):
    def batches(self, files, orientations, **options):
        vectors = np.zeros((30, 1, 8), np.float32)
        vectors[4, 0, 2] = np.nan
        yield vectors

    monkeypatch.setattr(Embedder, "batches", batches)
    assert exit_code(lambda: main(words)) == 2
    assert "the embedding of images/id 0/4.jpg is not finite" in capsys.readouterr().err
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("size", [64, [128, 64]])
@pytest.mark.parametrize("model_type", ["basic", "mobilenet_v2"])
def test_embeddings_do_not_depend_on_batch_size_or_order(tmp_path, shared_data, model_type, size):
    weights = shared_data / "weights" / "mobilenet_v2_1.0_imagenet_notop.weights.h5"
    if not weights.exists():
        pytest.skip(f"no {weights}")
    params = check_params({"model_type": model_type, "image_size": size}, "x")
    model = build_embedder(params)
    if model_type == "mobilenet_v2":
        warm_start(model, str(weights))
    files, _ = make_photographs(tmp_path, 20, 2, params.image_shape)
    upright = np.ones(len(files), np.uint8)
    embedder = Embedder(model, params)
    reference = embedder.embed(files, upright, batch_size=32).astype(float)
    lengths = np.linalg.norm(reference, axis=1)
    for batch_size in (1, 7, 128):
        emb = embedder.embed(files, upright, batch_size=batch_size)
        assert (np.linalg.norm(emb - reference, axis=1) / lengths).max() < 1e-6
    backwards = embedder.embed(files[::-1], upright, batch_size=7)[::-1]
    assert (np.linalg.norm(backwards - reference, axis=1) / lengths).max() < 1e-6
