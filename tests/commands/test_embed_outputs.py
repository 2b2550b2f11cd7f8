"""embed.py writes NumPy and CSV files for other programs. Interrupted commands, repeated, give the same bytes."""

import csv
import signal
import time

import h5py
import numpy as np
import pytest
from helpers.commands import start

from embed import main
from model.embedding.partial import PartialEmbeddings
from runtime.errors import exit_code


@pytest.fixture
def words(trained, dataset):
    def line(out, *more):
        words = ["--model_dir", trained, "--dataset", dataset / "images", "--filename", out, "--batch_size", "8", *more]
        return [str(word) for word in words]

    return line


def read_csv(file):
    """The paths, and the vectors as float32."""
    with open(file, newline="") as text:
        rows = list(csv.reader(text))
    return [path for path, *_ in rows], np.array([row[1:] for row in rows]).astype(np.float32)


@pytest.mark.parametrize("more", [(), ("--float16",), ("--flip_augment", "--aggregator", "mean")])
def test_other_forms_hold_what_hdf5_holds(words, tmp_path, capsys, more):
    assert main(words(tmp_path / "o.h5", *more)) == 0
    with h5py.File(tmp_path / "o.h5") as file:
        emb, paths = file["emb"][:], list(file["path"].asstr())
    capsys.readouterr()
    assert main(words(tmp_path / "o.npy", *more)) == 0
    assert f"wrote {tmp_path / 'o.npy'} and {tmp_path / 'o.paths.txt'}: emb (30, 8)" in capsys.readouterr().out
    found = np.load(tmp_path / "o.npy", mmap_mode="r")
    assert found.dtype == (np.float16 if "--float16" in more else np.float32)
    np.testing.assert_array_equal(found, emb)
    assert (tmp_path / "o.paths.txt").read_text().splitlines() == paths
    if "--float16" not in more:
        assert main(words(tmp_path / "o.csv", *more)) == 0
        names, values = read_csv(tmp_path / "o.csv")
        assert names == paths
        np.testing.assert_array_equal(values, emb)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_stopped_and_repeated(words, tmp_path, capsys, monkeypatch, ending):
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"o.{ending}"
    assert main(words(whole)) == 0
    append = PartialEmbeddings.append

    def killed(self, rows):
        append(self, rows)
        if self.done > 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PartialEmbeddings, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            main(words(out))
    assert not out.exists()
    for _ in range(2):  # first it resumes, then it replaces its own file
        assert main(words(out)) == 0
        assert out.read_bytes() == whole.read_bytes()
    assert "16 of 30 images are already embedded" in capsys.readouterr().out
    if ending == "npy":
        assert (tmp_path / "o.paths.txt").read_bytes() == (tmp_path / "whole.paths.txt").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_killed_and_repeated(words, tmp_path, ending):
    """The command is killed as soon as it has written something."""
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"o.{ending}"
    assert main(words(whole)) == 0
    partial = tmp_path / f".o.{ending}.partial"
    process = start("embed.py", *words(out))
    while not (partial.exists() or out.exists()):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert main(words(out)) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_shards_are_merged_into_other_forms(words, tmp_path, ending):
    parts = [tmp_path / f"{number}.h5" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        assert main(words(part, "--shard", f"{number}/2")) == 0
    assert main(words(tmp_path / f"whole.{ending}")) == 0
    assert main(["merge", "--filename", str(tmp_path / f"o.{ending}"), *map(str, parts)]) == 0
    assert (tmp_path / f"o.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("o.bin", [], "unknown ending; use one of .h5, .hdf5, .npy, .csv"),
        ("o", [], "unknown ending; use one of .h5, .hdf5, .npy, .csv"),
        ("o.csv", ["--float16"], "numbers in a CSV file have no precision"),
        ("o.npy", ["--shard", "1/2"], "shards must be HDF5 files (.h5); embed.py merge makes a NumPy file of them"),
        ("o.csv", ["--shard", "1/2"], "shards must be HDF5 files (.h5); embed.py merge makes a CSV file of them"),
    ],
)
def test_refused(words, tmp_path, capsys, name, more, message):
    assert exit_code(lambda: main(words(tmp_path / name, *more))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())
