"""Formats of embedding files: bytes, replaced files, and a NumPy file that never has wrong paths."""

import csv
import io
import itertools
import tracemalloc

import numpy as np
import pytest
from helpers.commands import process

from model.embedding.contents import Contents
from model.embedding.outputs import check_contents, check_filename, most_bytes, paths_file, write_output
from runtime.errors import UserError

PATHS = np.array(["a.jpg", "b, c.jpg", 'd"e.jpg', "ä.jpg", "f.jpg"], object)
EMB = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
EMB[0] = [np.finfo(np.float32).max, np.finfo(np.float32).tiny, -0.0]
EMB[1] = [1e-45, -123456789, 1 / 3]


def write(file, emb=EMB, half=False, size=2):
    contents = Contents(PATHS[: len(emb)], None, emb.shape[1], ("original",), half, {})
    write_output(file, contents, ((emb[i : i + size], None) for i in range(0, len(emb), size)))
    return contents


@pytest.mark.parametrize("half", [False, True])
def test_a_npy_file_is_what_numpy_saves(tmp_path, half):
    emb = np.clip(EMB, -60_000, 60_000)
    contents = write(tmp_path / "o.npy", emb, half)
    saved = io.BytesIO()
    np.save(saved, emb.astype(np.float16) if half else emb)
    assert (tmp_path / "o.npy").read_bytes() == saved.getvalue()
    assert (tmp_path / "o.paths.txt").read_text() == "".join(f"{path}\n" for path in PATHS)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= most_bytes(tmp_path / "o.npy", contents)


def test_a_csv_file_gives_the_same_float32_in_the_fewest_digits(tmp_path):
    contents = write(tmp_path / "o.csv")
    rows = list(csv.reader((tmp_path / "o.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == list(PATHS)
    assert np.array([row[1:] for row in rows]).astype(np.float32).tobytes() == EMB.tobytes()
    assert rows[1][3] == "0.33333334"
    assert (tmp_path / "o.csv").stat().st_size <= most_bytes(tmp_path / "o.csv", contents)
    write(tmp_path / "two.csv", size=5)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "o.csv").read_bytes()


def test_a_csv_file_takes_little_memory(tmp_path):
    emb = np.random.default_rng(0).normal(size=(4096, 64)).astype(np.float32)
    contents = Contents(np.array([f"{i}.jpg" for i in range(len(emb))], object), None, 64, ("original",), False, {})
    tracemalloc.start()
    try:
        write_output(tmp_path / "o.csv", contents, [(emb, None)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * emb.nbytes
    rows = list(csv.reader((tmp_path / "o.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == list(contents.paths)
    assert np.array([row[1:] for row in rows]).astype(np.float32).tobytes() == emb.tobytes()


def test_too_large_for_half_precision(tmp_path):
    with pytest.raises(UserError, match=r"a.jpg: its embedding has a value of 3.4e\+38"):
        write(tmp_path / "o.npy", half=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("moves", [0, 1])
def test_a_npy_file_never_has_wrong_paths_after_a_kill(tmp_path, moves):
    """Killed before the first or before the second file gets its name."""
    out = tmp_path / "o.npy"
    write(out, EMB[:3] * 0)
    code = f"""
import os, pathlib, sys
sys.path.insert(0, "tests/model/embedding"); sys.path.insert(0, "tests")
import test_outputs
replace, calls = pathlib.Path.replace, []
def killed(self, target):
    if len(calls) == {moves}:
        os._exit(9)
    calls.append(replace(self, target))
pathlib.Path.replace = killed
test_outputs.write(pathlib.Path({str(out)!r}))
"""
    assert process("-c", code).returncode == 9
    assert not out.exists()  # otherwise its paths would be wrong
    check_filename(out)
    write(out)
    np.testing.assert_array_equal(np.load(out), EMB)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.npy", "o.paths.txt"]


def test_replaced_files(tmp_path):
    for name in ("o.npy", "o.csv"):
        out = tmp_path / name
        check_filename(out)
        out.touch()
        check_filename(out)
        write(out)
        check_filename(out)
    for name, content in itertools.product(
        ("o.npy", "o.csv", "o.h5"), (b"identity,path\n", b"a.jpg\n", b"1,2\n", b"\xff,1")
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: it exists and is not a"):
            check_filename(tmp_path / name)
    paths_file(tmp_path / "other.npy").write_text("notes")
    with pytest.raises(
        UserError, match=r"other.paths.txt exists without it and would be overwritten; choose another name"
    ):
        check_filename(tmp_path / "other.npy")
    (tmp_path / ".other.npy.partial").touch()  # left by a killed process
    check_filename(tmp_path / "other.npy")


def test_a_path_with_a_line_break(tmp_path):
    check_contents(tmp_path / "o.csv", ["a\nb.jpg"])
    with pytest.raises(UserError, match=r"'a\\nb.jpg': the path has a line break, which .*o.paths.txt cannot hold"):
        check_contents(tmp_path / "o.npy", ["a\nb.jpg"])
