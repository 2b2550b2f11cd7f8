"""What embed.py must not replace, a disk that is full, and Ctrl-C while the file is written."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import ROOT, environment

from embed import main
from model.embedding.disk_errors import ErrorKeepingFile
from model.embedding.hdf5_file import Contents, write_blocks
from runtime.errors import UserError, exit_code
from runtime.files import check_output

VARIANTS = ["--crop_augment", "five", "--flip_augment", "--aggregator", "mean"]


def words(trained, csv, out):
    return ["--model_dir", str(trained), "--dataset", str(csv), "--filename", str(out)]


@pytest.mark.parametrize(
    "name",
    [
        "RUN/params.json",
        "RUN/params.resolved.json",
        "RUN/checkpoints/ckpt-4.index",
        "RUN/checkpoints/ckpt-4.data-00000-of-00001",
        "RUN/checkpoints/checkpoint",
        "DATA/dataset.json",
        "DATA/train.csv",
        "DATA/images/id 0/0.jpg",
    ],
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


def test_what_may_be_replaced(trained, dataset, tmp_path):
    out, line = tmp_path / "o.h5", words(trained, dataset / "test.csv", tmp_path / "o.h5")
    out.touch()
    assert main([*line, "--quiet"]) == 0
    assert main([*line, "--quiet"]) == 0
    out.write_text("{}")
    check_output(out, "--filename", "x.json")  # without `only`, as evaluate.py asks
    with pytest.raises(UserError, match="is no HDF5 file"):
        check_output(out, "--filename", "x.h5", only=("HDF5", b"\x89HDF"))


def test_full_disk_in_the_end(trained, dataset, tmp_path):
    """Room for the partial file, 10 kB, but not for the whole one."""
    out, partial = tmp_path / "o.h5", tmp_path / ".o.h5.partial"
    line = [*words(trained, dataset / "test.csv", out), *VARIANTS, "--quiet"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12 * 1024, 12 * 1024))

    command = [sys.executable, "embed.py", *line]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: cannot write {out}: File too large\n"
    assert [file.name for file in tmp_path.iterdir()] == [partial.name]
    assert main(line) == 0
    kept = out.read_bytes()
    assert main(line) == 0
    assert out.read_bytes() == kept


SWEEP = """
import resource, sys
from pathlib import Path
import numpy as np
from runtime.errors import UserError
from model.embedding.hdf5_file import Contents, write_blocks
out, count = Path(sys.argv[1]), 2000
names = np.array([f"images/id {number}/ä.jpg" for number in range(count)], object)
contents = Contents(names, names, 8, ("a", "b"), False, {"params": "p" * 3000})
emb = np.ones((count, 8), np.float32)
def write():
    write_blocks(out, contents, [(i, emb[i : i + 100], np.stack([emb[i : i + 100]] * 2)) for i in range(0, count, 100)])
write()
whole = out.read_bytes()
for size in [*range(0, len(whole), 5003), len(whole) - 1]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
    try:
        write()
    except UserError as error:
        assert str(error) == f"cannot write {out}: File too large", error
    else:
        raise AssertionError(size)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
assert out.read_bytes() == whole
write()
assert out.read_bytes() == whole
assert [file.name for file in out.parent.iterdir()] == [out.name]
"""


def test_wherever_the_disk_is_full(tmp_path):
    """HDF5 reads again what could not be written: also then no crash, not at the end of the process either."""
    done = subprocess.run([sys.executable, "-c", SWEEP, tmp_path / "o"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_the_file_is_written(tmp_path):
    names = np.array(["a", "b", "c"], object)
    contents, emb = Contents(names, names, 2, ("original",), False, {}), np.ones((3, 2), np.float32)

    def blocks():
        yield 0, emb[:1], None
        os.kill(os.getpid(), signal.SIGINT)
        yield 1, emb[1:2], None
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "o", contents, blocks())
    assert not any(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_written_after_an_error_is_read(tmp_path):
    """As a disk that is full at 100 000 bytes; the bytes are those of a file in memory."""
    random = np.random.default_rng(0)
    with open(tmp_path / "f", "w+b", buffering=0) as file:

        class Full:
            seek, read, truncate = file.seek, file.read, file.truncate

            def write(self, data):
                room = 100_000 - file.tell()
                if room <= 0:
                    raise OSError(28, "No space left on device")
                return file.write(data[:room])

        kept, expected = ErrorKeepingFile(Full()), bytearray(500_000)
        for start, size in random.integers(0, [400_000, 90_000], (50, 2)):
            data = random.bytes(size)
            kept.seek(start)
            assert kept.write(data) == size
            expected[start : start + size] = data
            kept.seek(start // 2)
            assert kept.read(1000).ljust(1000, b"\0") == expected[start // 2 : start // 2 + 1000]
    with pytest.raises(OSError, match="No space left"):
        kept.check()
