"""embed.py on a folder, a pattern, a list without identities, and standard input."""

import io
import sys

import h5py
import numpy as np
import pytest
from helpers.commands import command
from PIL import Image

import evaluate
from embed import main
from runtime.errors import exit_code


@pytest.fixture
def embed(trained, tmp_path):
    """Embeds images into an HDF5 file and returns its contents."""

    def run(source, *more):
        out = tmp_path / "o.h5"
        words = ["--model_dir", trained, "--dataset", source, "--filename", out, "--batch_size", "8", "--quiet", *more]
        assert main([str(word) for word in words]) == 0
        with h5py.File(out) as file:
            return {name: file[name][:] for name in file} | {"path": list(file["path"].asstr())}

    return run


@pytest.fixture
def type_in(monkeypatch):
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_every_form_gives_the_vectors_of_the_list(embed, dataset, tmp_path, type_in, monkeypatch):
    labelled = embed(dataset / "test.csv")
    assert [set(labelled), len(labelled["path"])] == [{"emb", "path", "identity", "augmentation_types"}, 30]
    assert labelled["path"] == sorted(labelled["path"])
    files = "\n".join(str(dataset / path) for path in labelled["path"])
    lists = {"list.txt": files, "list.csv": f"path\n{files}\n"}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(dataset)
    type_in("\n".join(labelled["path"]))
    for source, prefix in (
        (dataset / "images", ""),
        ("images/**/*.jpg", "images/"),
        ("images/id */?.jpg", "images/"),
        ("-", "images/"),
        *((tmp_path / name, f"{dataset}/images/") for name in lists),
    ):
        found = embed(source)
        assert set(found) == {"emb", "path", "augmentation_types"}, source
        assert found["path"] == [path.replace("images/", prefix, 1) for path in labelled["path"]]
        assert found["emb"].tobytes() == labelled["emb"].tobytes()


def test_broken_images_are_skipped_on_request(embed, own_dataset):
    (own_dataset / "images" / "id 3" / "2.jpg").write_bytes(b"")
    assert len(embed(own_dataset / "images", "--set", "corrupt_images=skip")["path"]) == 29


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("DATA/episodes", "no image in this folder or below"),
        ("DATA/*/*.gif", "it matches no image"),
        ("DATA/nothing", "no such file or folder"),
        ("-", "standard input: ./0.jpg: no such file (and 1 more bad image)"),
        ("-", "relative paths were taken to start in .; --image_root names another folder"),
        ("-0", "standard input: line 1: the paths are separated by null characters"),
    ],
)
def test_refused_in_one_line(trained, dataset, tmp_path, capsys, type_in, source, message):
    source, zero, _ = source.partition("0")  # "-0": as `find -print0` separates paths
    type_in("0.jpg\01.jpg\0" if zero else "0.jpg\n1.jpg\n")
    words = ["--model_dir", str(trained), "--filename", str(tmp_path / "o.h5"), "--dataset"]
    assert exit_code(lambda: main([*words, source.replace("DATA", str(dataset))])) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_files_without_identities_are_evaluated_with_a_list(embed, dataset, tmp_path, capsys):
    embed(dataset / "images")
    done = command("visualize.py", "rankings", "--query_embeddings", tmp_path / "o.h5", "--out", tmp_path / "o.html")
    assert done.returncode == 2
    assert "it has no paths and identities of its images; give --query_dataset, a list identity" in done.stderr
    rows = [line.replace("images/", "") for line in (dataset / "test.csv").read_text().splitlines()]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    words = ["--query_dataset", str(tmp_path / "list.csv"), "--query_embeddings", str(tmp_path / "o.h5")]
    assert evaluate.main([*words, "--filename", str(tmp_path / "o.json")]) == 0
    assert "recall@1" in (tmp_path / "o.json").read_text()


def test_grey_and_large_images_of_a_camera(embed, tmp_path):
    photos = tmp_path / "My Photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (70, 50), np.uint8)
    Image.fromarray(noise).save(photos / "IMG 1.JPG")
    Image.fromarray(noise).save(photos / "ä.png")
    assert embed(photos)["path"] == ["IMG 1.JPG", "ä.png"]
