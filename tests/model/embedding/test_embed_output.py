"""What embed.py must not replace, a disk that is full, and Ctrl-C while the file is written."""

import contextlib
import os
import re
import resource
import shutil
import signal

import numpy as np
import pytest

from embed import main
from model.embedding.hdf5_file import Contents, write_blocks
from runtime.errors import UserError, exit_code
from runtime.files import check_output

VARIANTS = ["--crop_augment", "five", "--flip_augment", "--aggregator", "mean"]


def words(trained, csv, out):
    return ["--model_dir", str(trained), "--dataset", str(csv), "--filename", str(out)]


@pytest.mark.parametrize(
    "name", ["RUN/params.json", "RUN/checkpoints/ckpt-4.index", "DATA/train.csv", "DATA/images/id 0/0.jpg"]
)
@pytest.mark.parametrize("merging", [False, True])
def test_inputs_are_not_replaced(trained, dataset, tmp_path, capsys, name, merging):
    place, _, rest = name.partition("/")
    file = {"RUN": trained, "DATA": dataset}[place] / rest
    before, beside = file.read_bytes(), sorted(file.parent.iterdir())
    line = ["merge", "--filename", str(file), "a.h5"] if merging else words(trained, dataset / "test.csv", file)
    assert exit_code(lambda: main(line)) == 2
    error = capsys.readouterr().err
    assert error == f"error: --filename {file}: it is there and is no HDF5 file; name another, or remove it first\n"
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == (before, beside)


def test_what_may_be_replaced(tmp_path):
    out, hdf5 = tmp_path / "o.h5", ("HDF5", b"\x89HDF")
    for content in (b"", b"\x89HDF and so on"):
        out.write_bytes(content)
        check_output(out, "--filename", "x.h5", only=hdf5)
    out.write_text("{}")
    check_output(out, "--filename", "x.json")  # without `only`, as evaluate.py asks
    with pytest.raises(UserError, match="is no HDF5 file"):
        check_output(out, "--filename", "x.h5", only=hdf5)


@contextlib.contextmanager
def largest_file(size):
    """As a disk that is full; its error has another number."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))


def test_full_disk_in_the_end(trained, dataset, tmp_path, capsys):
    """Room for the partial file, 10 kB, but not for the whole one."""
    out, partial = tmp_path / "o.h5", tmp_path / ".o.h5.partial"
    line = [*words(trained, dataset / "test.csv", out), *VARIANTS, "--quiet"]
    with largest_file(12 * 1024):
        assert exit_code(lambda: main(line)) == 2
    assert capsys.readouterr() == ("", f"error: cannot write {out}: File too large\n")
    assert [file.name for file in tmp_path.iterdir()] == [partial.name]
    assert main(line) == 0
    kept = out.read_bytes()
    assert main(line) == 0
    assert out.read_bytes() == kept


def test_a_disk_that_is_too_small_is_found_before_anything_is_embedded(trained, dataset, tmp_path, capsys, monkeypatch):
    out, usage = tmp_path / "o.h5", shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=2**17))
    monkeypatch.setattr("model.embedding.job._embed_rest", lambda *_, **__: pytest.fail("it was embedded"))
    assert exit_code(lambda: main([*words(trained, dataset / "test.csv", out), "--quiet"])) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: cannot write {out}: embedding takes 0\.1 MB there, and 0\.1 MB are free\n", error)


def test_wherever_the_disk_is_full(tmp_path):
    """One error, the file that was there stays, and HDF5 does not crash."""
    out, count = tmp_path / "o", 2000
    names = np.array([f"images/id {number}/ä.jpg" for number in range(count)], object)
    contents, emb = Contents(names, names, 8, ("a", "b"), False, {"params": "p" * 3000}), np.ones((count, 8))

    def write():
        blocks = ((emb[i : i + 100], np.stack([emb[i : i + 100]] * 2)) for i in range(0, count, 100))
        write_blocks(out, contents, blocks)

    (tmp_path / ".o.7.tmp").write_bytes(b"what a killed process left")
    write()
    whole = out.read_bytes()
    for size in [*range(0, len(whole), 50_021), len(whole) - 1]:
        with largest_file(size), pytest.raises(UserError, match=f"^cannot write {out}: File too large$"):
            write()
        assert out.read_bytes() == whole
    write()
    assert out.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("count", "length", "variants", "dimensions"),
    [(1, 5, 1, 4), (3000, 1, 3, 4), (500, 2100, 1, 4), (700, 1300, 2, 4), (300, 9, 3, 512), (300, 9, 1, 512)],
)
def test_the_space_that_is_taken_before_is_enough(tmp_path, count, length, variants, dimensions):
    names = np.array(["ä" * (length // 2) + str(number) for number in range(count)], object)
    contents = Contents(names, names, dimensions, tuple("abc"[:variants]), False, {"params": "p" * 20_000})
    emb = np.ones((count, dimensions), np.float32)
    write_blocks(tmp_path / "o", contents, [(emb, np.stack([emb] * variants) if variants > 1 else None)])
    written = (tmp_path / "o").stat().st_size
    assert written <= contents.most_bytes < 3 * written + 2**17


def test_ctrl_c_while_the_file_is_written(tmp_path):
    names = np.array(["a", "b", "c"], object)
    contents, emb = Contents(names, names, 2, ("original",), False, {}), np.ones((3, 2), np.float32)

    def blocks():
        yield emb[:1], None
        os.kill(os.getpid(), signal.SIGINT)
        yield emb[1:2], None
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "o", contents, blocks())
    assert not any(tmp_path.iterdir())
