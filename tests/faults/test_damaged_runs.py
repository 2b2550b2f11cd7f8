"""Every file of a run that is lost, damaged, of another shape, or a folder: no command ends with a traceback."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import command, start
from helpers.tiny import make_run

import embed
import evaluate
import export
import model
import train
import visualize
from runtime.errors import exit_code

pytestmark = pytest.mark.slow

GARBAGE = b"\xff\x00\x80 garbage"
WRONG = b'{"step": 2, "set": [], "checkpoint": "../x", "metric": 5, "metrics": {"test": {"map": "x"}}, "paths": 3}\n'
CONTENTS = {"gone": None, "a folder": None, "garbage": GARBAGE, "empty": b"", "a list": b"[]\n", "a number": b"5\n"}
CONTENTS["wrong values"] = WRONG

# Files, and the commands that read them.
FILES = {
    "params.json": ("train", "evaluate"),
    "params.resolved.json": ("train", "evaluate", "load"),
    "checkpoints/checkpoint": ("train", "evaluate"),
    "checkpoints/ckpt-4.index": ("train", "evaluate", "embed"),
    "checkpoints/ckpt-4.data-00000-of-00001": ("train", "evaluate"),
    "best.json": ("evaluate", "export", "visualize"),
    "results.jsonl": ("train", "evaluate", "load"),
    "metrics.jsonl": ("train",),
    "plateau.jsonl": ("train",),
    "training_list.json": ("train",),
    "triples/epoch-0.npy": ("train",),
    "detailed/contents.json": ("train",),
    "detailed/00000004.npz": ("train",),
    "DONE": ("train", "evaluate"),
}
# Files that decide what a command does. The others get fewer kinds of damage: each training takes a second.
CHOOSING = {"params.json", "params.resolved.json", "checkpoints/checkpoint", "best.json", "results.jsonl"}
# What is rebuilt, or not needed: the commands succeed whatever is in the file.
REBUILT = {"checkpoints/checkpoint", "best.json", "training_list.json", "triples/epoch-0.npy", "DONE"}


@pytest.fixture(scope="module")
def source(tmp_path_factory, dataset):
    """A finished run with every file, and its results."""
    params = {"detailed_log": True, "sampling": "triplets", "triplet_mining": "hard", "csv_log": True}
    run = make_run(tmp_path_factory.mktemp("source") / "run", dataset, **params, eval_sets=["test"])
    for script in ("train.py", "evaluate.py"):
        done = command(script, "--model_dir", run)
        assert done.returncode == 0, done.stderr
    return run


def load(words: list[str]) -> int:
    model.load(words[0])
    return 0


def calls(run: Path, data: Path) -> dict[str, tuple[Callable[[list[str]], int], list[str]]]:
    here = ["--model_dir", str(run)]
    waits = ["--set", "eval_timeout_secs=0.2", "--set", "eval_interval_secs=0.1", "--breakdown"]
    vectors = ["--dataset", str(data / "test.csv"), "--filename", str(run / "vectors.csv")]
    return {
        "train": (train.main, [*here, "--set", "train_iterations=5"]),
        "evaluate": (evaluate.main, [*here, *waits]),
        "embed": (embed.main, [*here, *vectors]),
        "export": (export.main, [*here, "--format", "keras", "--out", str(run / "exported")]),
        "visualize": (visualize.main, ["rankings", *here, "--checkpoint", "best"]),
        "load": (load, [str(run)]),
    }


def damage(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    elif kind != "gone":
        path.write_bytes(CONTENTS[kind])


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(name, source, dataset, tmp_path, capsys):
    for kind in CONTENTS if name in CHOOSING else ("garbage", "wrong values"):
        for number, what in enumerate(FILES[name]):
            run = Path(shutil.copytree(source, tmp_path / f"{kind} {number}"))
            damage(run / name, kind)
            before = {path: path.read_bytes() for path in run.rglob("ckpt-*") if path.is_file()}
            function, words = calls(run, dataset)[what]
            code = exit_code(lambda function=function, words=words: function(words))
            said = capsys.readouterr()
            about = f"{name} is {kind}, {what}: {code}\n{said.err}"
            assert code in (0, 2), about
            if code:
                assert said.err.count("\n") == 1, about
                assert Path(name).stem in said.err, about
            if name in REBUILT and kind != "a folder" and what in ("train", "evaluate"):
                assert code == 0, about
            assert all(path.read_bytes() == content for path, content in before.items()), (
                about
            )  # nothing is overwritten
            shutil.rmtree(run)


def test_the_evaluator_of_a_deleted_run_ends(source, tmp_path):
    run = Path(shutil.copytree(source, tmp_path / "run"))
    (run / "DONE").unlink()
    with start("evaluate.py", "--model_dir", run, "--set", "eval_timeout_secs=120") as process:
        assert "evaluating test" in process.stdout.readline()
        time.sleep(1)
        shutil.rmtree(run)
        began = time.monotonic()
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.send_signal(signal.SIGKILL)
    assert time.monotonic() - began < 20
    assert process.returncode == 2
    assert "the run folder no longer exists" in errors
    assert not run.exists()
