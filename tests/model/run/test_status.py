"""The status of a run: what its processes write, and what `train.py --status` prints of it."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from helpers.commands import command

from model.run import heartbeat
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder
from model.run.status import LATE, Part, join, read_parts, stamp, status_text, write_part
from runtime.errors import UserError
from runtime.log import Log


def part(command="train", **values):
    known = {"command": command, "pid": os.getpid(), "host": os.uname().nodename, "state": "running"}
    times = dict.fromkeys(("started", "heartbeat", "last_progress"), stamp())
    return Part(**known | times | {"progress": "step 3", "step": 3, "total": 10} | values)


def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_training_and_two_evaluators_are_one_status(tmp_path):
    run = RunFolder(tmp_path)
    evaluated = {"set": "test", "metric": "map", "value": 0.5}
    times = [stamp(time.time() - ago) for ago in (9, 5)]
    lasts = [evaluated | {"checkpoint": f"ckpt-{i}", "time": moment} for i, moment in enumerate(times)]
    worker = {"worker": 1, "pid": 77, "host": "host1"}
    write_part(run, "train", part(loss=0.25, images_per_second=12.5, workers=[worker]))
    for i, last in enumerate(lasts[::-1]):
        write_part(run, f"evaluate-{i}", part("evaluate", step=None, total=None, last_evaluation=last))
    status = json.loads(run.status.read_text())
    assert (status["state"], status["step"], status["total"], status["loss"]) == ("running", 3, 10, 0.25)
    assert status["images_per_second"] == 12.5
    assert status["last_evaluation"]["checkpoint"] == "ckpt-1"
    assert [each["command"] for each in status["processes"]] == ["train", "evaluate", "evaluate", "train"]
    assert status["processes"][-1] == {"command": "train"} | worker
    assert all(each["pid"] and each["host"] for each in status["processes"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "running"),
        ({"host": "elsewhere"}, "running"),
        ({"state": "failed", "reason": "disk full"}, "failed: disk full"),
        ({"heartbeat": -10 * LATE}, "no heartbeat for 10:"),
        ({"heartbeat": -10 * LATE, "host": "elsewhere"}, "it is dead, or cannot write"),
        ({"heartbeat": 99, "host": "elsewhere"}, "running"),  # its clock is ahead
        ({"pid": None}, "not running: it was killed, or crashed"),
    ],
)
def test_standing(values, expected):
    if "pid" in values:
        values = {"pid": dead_pid()}
    if "heartbeat" in values:  # seconds from now
        values = values | {"heartbeat": stamp(time.time() + values["heartbeat"])}
    assert expected in part(**values).standing()


def test_the_heartbeat_tells_what_is_going_on_and_how_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    run, log = RunFolder(tmp_path), Log(tmp_path / "train.log")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
    (tmp_path / "checkpoints" / "ckpt-2.index").touch()
    with contextlib.suppress(UserError), Heartbeat(run, "train", log) as beat:
        assert read_parts(run)["train"].standing() == "running"
        log.line("a line")
        beat.finished("step 3", step=3, total=9)
        while read_parts(run)["train"].step != 3:
            time.sleep(0.01)
        raise UserError("no space")
    ended = read_parts(run)["train"]
    assert (ended.standing(), ended.last_line, ended.progress) == ("failed: no space", "a line", "step 3")
    assert ended.last_checkpoint.checkpoint == "ckpt-2"
    with Heartbeat(run, "train", log):  # it resumes
        begun = read_parts(run)["train"]
        assert (begun.standing(), begun.reason, begun.step, begun.progress) == ("running", None, 3, "started")
        run.done.touch()
    assert read_parts(run)["train"].standing() == "done"
    assert not list(run.status_parts.glob(".*")), "temporary files"


def test_parts_of_ended_evaluators_go_when_the_next_one_starts(tmp_path):
    run = RunFolder(tmp_path)
    last = {"checkpoint": "ckpt-1", "set": "test", "metric": "map", "value": 0.5, "time": stamp()}
    write_part(run, "evaluate-a", part("evaluate", pid=dead_pid(), last_evaluation=last))
    write_part(run, "evaluate-b", part("evaluate", host="elsewhere"))
    write_part(run, "train", part(pid=dead_pid()))
    with Heartbeat(run, "evaluate", Log()):
        names = set(read_parts(run))
        assert {"train", "evaluate-b"} < names
        assert len(names) == 3
        assert "evaluate-a" not in names
    assert json.loads(run.status.read_text())["last_evaluation"]["checkpoint"] == "ckpt-1"


def test_a_process_without_progress_says_where_it_is(tmp_path, monkeypatch):
    for name, seconds in {"EVERY": 0.01, "QUIET": 0.05}.items():
        monkeypatch.setattr(heartbeat, name, seconds)
    log = Log(tmp_path / "log")
    with Heartbeat(RunFolder(tmp_path), "evaluate", log):
        end = time.monotonic() + 20
        while "heartbeat" not in log.last and time.monotonic() < end:
            time.sleep(0.01)
    assert "heartbeat: started 0:00 ago; now in " in (tmp_path / "log").read_text()


def test_what_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / ".status").touch()
    with Heartbeat(RunFolder(tmp_path), "train", Log()) as beat:
        beat.set(step=3)
    with Heartbeat(RunFolder(tmp_path / "gone"), "train", Log()):
        pass
    assert not (tmp_path / "gone").exists()


def test_damaged_parts_are_skipped(tmp_path):
    run = RunFolder(tmp_path)
    write_part(run, "train", part())
    (run.status_parts / "evaluate-a.json").write_bytes(b"")
    (run.status_parts / "evaluate-b.json").write_text('{"command": "evaluate", "pid": -1}')
    (run.status_parts / "evaluate-c.json").write_bytes(b"\xff")
    assert list(read_parts(run)) == ["train"]
    assert join([])["processes"] == []


def test_the_command_prints_it(tmp_path):
    run = RunFolder(tmp_path)
    saved = {"checkpoint": "ckpt-3", "time": stamp()}
    write_part(run, "train", part(loss=0.25, images_per_second=1234.5, seconds_left=61, last_checkpoint=saved))
    done = command("train.py", "--status", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == status_text(tmp_path) + "\n"
    words = ("running", "3 of 10, 1:01 left", "0.2500", "1,234 images/s", "ckpt-3, 0:0")
    assert [word for word in words if word not in done.stdout] == []


def test_the_command_without_a_status(tmp_path):
    done = command("train.py", "--status", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}/none: no status of a run; train.py --model_dir")
    assert "--model_dir" in command("train.py").stderr
