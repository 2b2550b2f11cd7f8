import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.commands import command

from embed import main
from model.embedding.shards import Shard, parse_shard
from runtime.errors import UserError, exit_code

AUGMENTED = ("--flip_augment", "--aggregator", "mean", "--float16")


@pytest.fixture(scope="module")
def embed(trained, dataset):
    """Embeds the list of the data set, or another, in this process."""

    def run(out, *words, csv="test.csv"):
        line = ["--model_dir", str(trained), "--dataset", str(dataset / csv), "--filename", str(out), "--quiet"]
        assert main([*line, "--batch_size", "8", *words]) == 0
        return str(out)

    return run


def merge(*files):
    return exit_code(lambda: main(["merge", "--quiet", "--filename", *map(str, files)]))


@pytest.fixture(scope="module")
def thirds(embed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return [embed(folder / f"{number}.h5", "--shard", f"{number}/3", *AUGMENTED) for number in (1, 2, 3)]


def test_the_merged_file_is_that_of_the_whole(embed, thirds, tmp_path):
    embed(tmp_path / "whole.h5", *AUGMENTED)
    done = command("embed.py", "merge", "--filename", tmp_path / "merged.h5", thirds[2], thirds[0], thirds[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'merged.h5'}: emb (30, 8) from 3 shards\n"
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["merged.h5", "whole.h5"]
    # Shards counted from 0 that end inside a batch:
    parts = [embed(tmp_path / f"{number}.h5", "--shard", f"{number}/4", *AUGMENTED) for number in range(4)]
    assert merge(tmp_path / "merged.h5", *parts) == 0
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize(("images", "of"), [(30, 7), (5, 5), (1, 1), (1000, 3)])
def test_shards_cover_the_list(images, of):
    rows = [list(range(*Shard(number, of).rows(images))) for number in range(1, of + 1)]
    assert [row for part in rows for row in part] == list(range(images))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_how_a_shard_is_named():
    assert parse_shard("2/3") == Shard(2, 3)
    assert parse_shard("0/3") == Shard(3, 3)
    for text in ("", "2", "/", "4/3", "-1/3", "1/0", "0/0", "a/3", "1/3/5", "1.5/3"):
        with pytest.raises(UserError, match="use i/n"):
            parse_shard(text)


def refused(capsys, *files):
    assert merge(*files) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_parts_that_make_no_whole(embed, thirds, tmp_path, capsys):
    out, other = tmp_path / "o.h5", tmp_path / "other.h5"
    assert "shard 2/3 is missing" in refused(capsys, out, thirds[0], thirds[2])
    embed(other, "--shard", "2/3", *AUGMENTED)
    assert "are both shard 2/3; give only one of them" in refused(capsys, out, *thirds, other)
    embed(other, *AUGMENTED)
    assert f"{other} holds the embeddings of a whole list" in refused(capsys, out, thirds[0], other, thirds[2])
    for words, csv, what in (
        ((*AUGMENTED, "--checkpoint", "ckpt-2"), "test.csv", "checkpoint"),
        (AUGMENTED, "query.csv", "list of images"),
        ((*AUGMENTED, "--batch_size", "9"), "test.csv", "batch size"),
        ((*AUGMENTED, "--set", "preprocess=false"), "test.csv", "parameters"),
        (("--float16",), "test.csv", "augmentation"),
        (("--flip_augment", "--aggregator", "normalized_mean", "--float16"), "test.csv", "aggregator"),
        (("--flip_augment", "--aggregator", "mean"), "test.csv", "precision"),
    ):
        embed(other, "--shard", "2/3", *words, csv=csv)
        assert f"do not belong together: they differ in their {what}" in refused(
            capsys, out, thirds[0], other, thirds[2]
        )
    embed(other, "--shard", "2/3", *AUGMENTED, "--set", "learning_rate=0.5")  # no embedding depends on it
    assert merge(tmp_path / "whole.h5", thirds[0], other, thirds[2]) == 0
    embed(other, "--shard", "2/5", *AUGMENTED)
    assert "number of parts" in refused(capsys, out, thirds[0], other, thirds[2])
    assert not out.exists()


def test_damaged_parts(thirds, tmp_path, capsys):
    out, bad = tmp_path / "o.h5", tmp_path / "bad.h5"
    bad.write_bytes(Path(thirds[1]).read_bytes()[:-50])
    assert f"{bad}: it is truncated" in refused(capsys, out, thirds[0], bad, thirds[2])
    assert "no such file" in refused(capsys, out, thirds[0], tmp_path / "nowhere.h5")
    shutil.copy(thirds[1], bad)
    with h5py.File(bad, "r+") as file:
        del file["emb"]
        file["emb"] = np.zeros((9, 8), np.float16)
    assert "9 embeddings, but 10 values of 'path'" in refused(capsys, out, thirds[0], bad, thirds[2])
    for name, value in (("shard", "2"), ("shard_of", "{"), ("shard_of", "[]"), ("shard", 5)):
        shutil.copy(thirds[1], bad)
        with h5py.File(bad, "r+") as file:
            file.attrs[name] = value
        assert f"{bad}: its attributes" in refused(capsys, out, thirds[0], bad, thirds[2])
    assert "this is one of the inputs" in refused(capsys, thirds[0], *thirds)
    assert json.loads(h5py.File(thirds[0]).attrs["shard_of"])["images"] == 30


def test_one_command_for_all_tasks_of_a_job(embed, trained, dataset, tmp_path, monkeypatch, capsys):
    line = ["embed.py", "--model_dir", trained, "--dataset", dataset / "test.csv", "--filename", tmp_path / "o.h5"]
    line += ["--shard", "auto", "--batch_size", "8"]
    done = command(*line)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--shard auto: this is no job of several tasks; start it with srun" in done.stderr
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node1")
    for task in ("2", "0", "1"):
        monkeypatch.setenv("SLURM_PROCID", task)
        done = command(*line)
        assert done.returncode == 0, done.stderr
        assert f"wrote {tmp_path / f'o.{int(task) + 1}-of-3.h5'}: emb (10, 8)" in done.stdout
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == ["o.1-of-3.h5", "o.2-of-3.h5", "o.3-of-3.h5"]
    assert merge(tmp_path / "o.h5", *parts) == 0
    assert (tmp_path / "o.h5").read_bytes() == Path(embed(tmp_path / "whole.h5")).read_bytes()
