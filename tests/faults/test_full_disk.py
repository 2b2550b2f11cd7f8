"""Full disks: every command says in one line which file it cannot write, exits with 2, and succeeds when repeated."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.commands import command
from helpers.tiny import make_run

pytestmark = pytest.mark.slow
SIZE = 2**24


class Disk:
    """A small file system of its own, with a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def leave(self, free: int) -> None:
        """Fills it up to `free` bytes."""
        self.empty()
        here = os.statvfs(self.folder)
        size = here.f_bavail * here.f_frsize - free
        with open(self._filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], capture_output=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "-l", folder], check=True)


def check_full(done, folder):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert str(folder) in lines[0], lines
    assert "Traceback" not in done.stderr


# Enough for nothing, for the first small files, for some of the rest, and for nearly everything.
FREE = [0, 2**13, 2**15, 2**16, 100_000, 150_000, 200_000]


@pytest.mark.parametrize("free", FREE)
def test_train(disk, dataset, free, tmp_path):
    options = {"csv_log": True, "detailed_log": True, "save_picture_steps": 2, "train_iterations": 8}
    options |= {"num_channels": [8, 8], "save_summary_steps": 1, "keep_checkpoints": None}
    make_run(tmp_path, dataset, **options)
    run, words = disk.folder / "run", ["--params", tmp_path / "params.json"]
    disk.leave(free)
    check_full(command("train.py", "--model_dir", run, *words), disk.folder)
    disk.empty()
    done = command("train.py", "--model_dir", run, *words)
    assert done.returncode == 0, done.stderr
    assert (run / "DONE").exists()


@pytest.mark.parametrize("where", ["train", "eval"])
def test_events_alone(disk, run, where):
    """The training stops and has saved; the evaluation continues without curves, and completes them later."""
    disk.leave(2**13)
    shutil.rmtree(run.folder / where, ignore_errors=True)
    (run.folder / where).symlink_to(disk.folder)
    more = ["--set", "train_iterations=8", "--set", "save_summary_steps=1", "--set", "save_checkpoints_steps=100"]
    if where == "train":
        check_full(command("train.py", "--model_dir", run.folder, *more), where)
        disk.empty()
        done = command("train.py", "--model_dir", run.folder, *more)
        assert done.returncode == 0, done.stderr
        assert "resumed from" in done.stdout
        assert "ckpt-4\n" not in done.stdout
        return
    disk.leave(0)
    done = command("evaluate.py", "--model_dir", run.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("note: no curves of") == 3
    assert len(run.results.read_text().splitlines()) == 9
    assert run.best_json.exists()


@pytest.mark.parametrize("free", [0, 2**12, 2**13, 2**14])
@pytest.mark.parametrize("csv_log", [False, True])
def test_evaluate(disk, trained, free, csv_log):
    run = shutil.copytree(trained, disk.folder / "run")
    disk.leave(free)
    words = ["evaluate.py", "--model_dir", run, "--set", f"csv_log={str(csv_log).lower()}"]
    done = command(*words)
    if done.returncode:
        check_full(done, run)
    disk.empty()
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert (run / "best.json").exists()
    assert len(set((run / "results.jsonl").read_text().splitlines())) == 9


@pytest.mark.parametrize("ending", ["h5", "npy", "csv"])
@pytest.mark.parametrize("free", [0, 2**12, 2**13])
def test_embed(disk, trained, dataset, ending, free):
    out = disk.folder / f"out.{ending}"
    disk.leave(free)
    words = ["embed.py", "--model_dir", trained, "--dataset", dataset / "images", "--filename", out]
    done = command(*words)
    if done.returncode or free == 0:
        check_full(done, disk.folder)
    disk.empty()
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size


@pytest.mark.parametrize("free", [0, 2**13])
def test_prepare(disk, dataset, free):
    for extra in ([], ["--copy"]):
        out = disk.folder / f"data{len(extra)}"
        words = ["-m", "dataset.prepare.folder", "--images", dataset / "images", "--out", out]
        disk.leave(free if extra else 0)
        check_full(command(*words, *extra), disk.folder)
        disk.empty()
        done = command(*words, *extra)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "litert"])
@pytest.mark.parametrize("free", [0, 2**14, 2**16])
def test_export(disk, trained, kind, free):
    words = ["export.py", "--model_dir", trained, "--format", kind, "--out", disk.folder / "out"]
    disk.leave(free)
    done = command(*words)
    if done.returncode or free == 0:
        check_full(done, disk.folder)
    disk.empty()
    done = command(*words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words", [["rankings"], ["projector"], ["analyze"], ["distances"], ["embedding"], ["data"], ["batches"]]
)
def test_visualize(disk, trained, words):
    run = shutil.copytree(trained, disk.folder / "run")
    for free in (0, 2**13):
        disk.leave(free)
        check_full(command("visualize.py", *words, "--model_dir", run), run)
    disk.empty()
    done = command("visualize.py", *words, "--model_dir", run)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("free", [0, 2**12, 2**13])
def test_search(disk, dataset, free):
    run = make_run(disk.folder / "search", dataset)
    disk.leave(free)
    words = ["search_hyperparams.py", "--parent_dir", run, "--set", "margin=0.1,0.2", "--parallel", "1"]
    done = command(*words)
    check_full(done, run)
    if free == 0:
        disk.empty()
        done = command(*words)
        assert done.returncode == 0, done.stderr
