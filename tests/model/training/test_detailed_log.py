import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest
from helpers.commands import ROOT, environment

from model.training.detailed_log import DetailedLog, read_detailed_log
from runtime.errors import UserError

FILES = ["a.jpg", "ordner/ü b.jpg", "c.png"]
B, D = 6, 4


def opened(folder, start=0, files=FILES, batch_size=B, dimensions=D):
    return DetailedLog(folder / "detailed.h5", files, start, batch_size, dimensions)


def row(step, batch_size=B, dimensions=D):
    random = np.random.default_rng(step)
    embeddings = random.normal(size=(batch_size, dimensions)).astype(np.float32)
    losses, images = random.normal(size=batch_size).astype(np.float32), random.integers(0, 3, batch_size)
    return step, step / 2, embeddings, losses, images


def write(log, steps, **shape):
    for step in steps:
        log.append(*row(step, **shape))
    log.close()


def assert_holds(path, steps):
    batches = read_detailed_log(path)
    assert batches.steps.tolist() == list(steps)
    assert (len(batches.losses), len(batches.emb), len(batches.images)) == (len(steps),) * 3
    for i, step in enumerate(steps):
        _, loss, embeddings, losses, images = row(step)
        assert batches.losses[i] == loss
        assert (batches.emb[i] == embeddings).all()
        assert (batches.anchor_losses[i] == losses).all()
        assert (batches.images[i] == images).all()


def test_what_is_written_is_read(tmp_path):
    log = opened(tmp_path)
    write(log, range(1, 6))
    assert log.notes == []
    assert_holds(tmp_path / "detailed.h5", range(1, 6))
    batches = read_detailed_log(tmp_path / "detailed.h5", start=2, stop=4)
    assert batches.steps.tolist() == [2, 3]
    assert batches.emb.dtype == batches.anchor_losses.dtype == np.float32
    assert batches.paths.tolist() == FILES
    assert read_detailed_log(tmp_path / "detailed.h5", start=9).steps.tolist() == []
    assert [path.name for path in tmp_path.iterdir()] == ["detailed.h5"]


@pytest.mark.parametrize("start", [0, 3, 5, 8])
def test_resuming_drops_later_rows(tmp_path, start):
    write(opened(tmp_path), range(1, 6))
    write(opened(tmp_path, start), range(start + 1, start + 4))
    kept = range(1, min(start, 5) + 1)
    assert_holds(tmp_path / "detailed.h5", [*kept, *range(start + 1, start + 4)])


def test_an_empty_file_is_gone_on_with(tmp_path):
    opened(tmp_path).close()
    assert_holds(tmp_path / "detailed.h5", [])
    write(opened(tmp_path), [1])
    assert_holds(tmp_path / "detailed.h5", [1])


WRITER = """
    import sys
    from pathlib import Path
    sys.path[:0] = ["tests", "tests/model/training"]
    from test_detailed_log import opened, row
    start = int(sys.argv[2])
    log = opened(Path(sys.argv[1]), start)
    while True:
        start += 1
        log.append(*row(start))
        print(start, flush=True)
"""


def killed_writer(folder, start, seconds):
    """A process that writes batches and is killed; the last step that it said was written."""
    words = [sys.executable, "-c", textwrap.dedent(WRITER), folder, str(start)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout.readline()
    time.sleep(seconds)
    live = read_detailed_log(folder / "detailed.h5").steps
    process.kill()
    lines = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    assert live.tolist() == list(range(1, len(live) + 1))
    return int(lines[-1])


def test_a_killed_writer_leaves_what_it_wrote(tmp_path):
    start = 0
    for seconds in (0.05, 0.1, 0.15):
        last = killed_writer(tmp_path, start, seconds)
        count = len(read_detailed_log(tmp_path / "detailed.h5").steps)
        assert count in (last, last + 1)  # killed before it could say so
        assert_holds(tmp_path / "detailed.h5", range(1, count + 1))
        start = count - 2
    log = opened(tmp_path, start)
    assert log.notes == []
    write(log, range(start + 1, start + 3))
    assert_holds(tmp_path / "detailed.h5", range(1, start + 3))
    assert [path.name for path in tmp_path.iterdir()] == ["detailed.h5"]


def test_a_row_without_its_step_is_not_there(tmp_path):
    write(opened(tmp_path), range(1, 4))
    with h5py.File(tmp_path / "detailed.h5", "r+", libver="latest") as h5:
        for name in ("loss", "emb", "anchor_loss", "image", "step"):
            h5[name].resize(4, axis=0)  # grown, but without a step
    assert_holds(tmp_path / "detailed.h5", range(1, 4))
    write(opened(tmp_path, 3), [4, 5])
    assert_holds(tmp_path / "detailed.h5", range(1, 6))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_file_is_moved_aside(tmp_path, damage):
    path = tmp_path / "detailed.h5"
    for name in ("detailed.damaged.h5", "detailed.damaged-2.h5"):
        write(opened(tmp_path), range(1, 4))
        if damage == "other":
            with h5py.File(path, "w") as h5:
                h5["emb"] = np.zeros(3)
        content = path.read_bytes()
        content = {"cut": content[: len(content) // 2], "empty": b"", "text": b"no HDF5"}.get(damage, content)
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a readable detailed log"):
            read_detailed_log(path)
        log = opened(tmp_path, 3)
        (note,) = log.notes
        assert name in note
        assert "\n" not in note
        assert (tmp_path / name).read_bytes() == content
        write(log, [4])
        assert_holds(path, [4])
        path.unlink()


@pytest.mark.parametrize("change", [{"batch_size": B + 2}, {"dimensions": D + 1}, {"files": FILES[::-1]}])
def test_another_shape_begins_a_new_file(tmp_path, change):
    write(opened(tmp_path), range(1, 4))
    log = opened(tmp_path, 2, **change)
    assert "detailed.until-2.h5" in log.notes[0]
    write(log, [3], **{name: value for name, value in change.items() if name != "files"})
    assert_holds(tmp_path / "detailed.until-2.h5", range(1, 4))
    assert read_detailed_log(tmp_path / "detailed.h5").steps.tolist() == [3]


def test_mistakes_are_named(tmp_path):
    log = opened(tmp_path)
    step, loss, embeddings, losses, images = row(1)
    with pytest.raises(ValueError, match=r"emb of shape \(4, 6\); it must be \(6, 4\)"):
        log.append(step, loss, embeddings.T, losses, images)
    with pytest.raises(ValueError, match="image"):
        log.append(step, loss, embeddings, losses, images[0])
    write(log, [1])
    assert_holds(tmp_path / "detailed.h5", [1])
    with pytest.raises(UserError, match="cannot write"):
        opened(tmp_path / "no such folder")
    with pytest.raises(UserError, match="not a readable"):
        read_detailed_log(tmp_path / "none.h5")


def test_a_file_that_is_open_elsewhere_is_not_damaged(tmp_path):
    write(opened(tmp_path), [1, 2])
    other = [sys.executable, "-c", "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); input()"]
    words = [*other, tmp_path / "detailed.h5"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match="another program has it open"):
            opened(tmp_path, 1)
        process.communicate("\n")
    assert_holds(tmp_path / "detailed.h5", [1, 2])
