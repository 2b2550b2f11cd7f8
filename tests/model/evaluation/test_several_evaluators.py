"""Several evaluators of one run, in processes of their own: nothing is done twice, or lost when one is killed."""

import json
import random
import shutil
import signal
import time

import pytest
from helpers.commands import command, start, wait_for
from helpers.tensorboard_readers import curves_of, reader
from helpers.tiny import make_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.evaluation.claims import Claims
from model.run.checkpoint_files import list_checkpoints
from model.run.event_tags import evaluation_tag
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines

# An evaluator that writes the file BEGUN at its first checkpoint, and does not continue before the file GO is there.
SLOW = """
import sys, time
from pathlib import Path
from unittest import mock
import evaluate
from model.embedding.embedder import Embedder

embed = Embedder.embed

def embed_slowly(self, *args, **options):
    Path("{begun}").touch()
    while not Path("{go}").exists():
        time.sleep(0.01)
    return embed(self, *args, **options)

with mock.patch.object(Embedder, "embed", embed_slowly):
    sys.exit(evaluate.main(["--model_dir", "{run}"]))
"""
# An evaluator that is killed in the middle of its second line of results.
HALF = """
import os, signal
from unittest import mock
import evaluate
from model.evaluation import evaluator
from runtime.json_files import append_json_line

def append(path, line):
    if line["set"] == "query_gallery":
        with open(path, "a") as file:
            file.write('{{"step": 0, "se')
        os.kill(os.getpid(), signal.SIGKILL)
    append_json_line(path, line)

with mock.patch.object(evaluator, "append_json_line", append):
    evaluate.main(["--model_dir", "{run}"])
"""


def results_of(run):
    lines = read_json_lines(run.results)
    return sorted(lines, key=lambda line: (line["step"], line["set"]))


def pictures_of(run, name):
    events = EventAccumulator(str(run.eval_events(name)), size_guidance={"tensors": 0})
    events.Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in ("evaluation/rankings",)}


def check_as_of_one(run, one):
    """The files are those of one evaluator, up to the order of the lines."""
    raw = run.results.read_text().splitlines()
    assert results_of(run) == results_of(one)
    assert len(raw) == len(set(raw)) == len(results_of(one))
    assert json.loads(run.best_json.read_text()) == json.loads(one.best_json.read_text())
    assert {file.name: file.read_bytes() for file in run.best.iterdir()} == {
        file.name: file.read_bytes() for file in one.best.iterdir()
    }
    assert curves_of(reader(run.folder / "eval")) == curves_of(reader(one.folder / "eval"))
    steps = [step for step, _ in list_checkpoints(run.checkpoints)]
    assert pictures_of(run, "test") == {evaluation_tag("rankings"): steps}
    assert not list(run.folder.glob(".evaluating*"))
    assert not list(run.folder.glob("eval/*/.*"))


@pytest.fixture(scope="module")
def one(trained, tmp_path_factory):
    """The run as one evaluator leaves it."""
    run = RunFolder(shutil.copytree(trained, tmp_path_factory.mktemp("one") / "run"))
    assert command("evaluate.py", "--model_dir", run.folder).returncode == 0
    return run


@pytest.mark.parametrize("end", ["killed", pytest.param("continues", marks=pytest.mark.slow)])
def test_two_evaluators(run, one, tmp_path, end):
    """The first has begun the first checkpoint, and writes the events: the second does the rest, and waits for it."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    with start("-c", SLOW.format(run=run.folder, begun=begun, go=go)) as first:
        wait_for(begun.exists, first)
        with start("evaluate.py", "--model_dir", run.folder) as second:
            said = ""
            while "training has ended; waiting for the other evaluate.py" not in said:
                said += second.stdout.readline()
            assert [line["step"] for line in results_of(run)] == [2] * 3 + [4] * 3
            assert not list(run.folder.glob("eval/*/events*")), "the points of a curve come in order of step"
            if end == "killed":
                first.kill()
            else:
                go.touch()
            rest, errors = second.communicate(timeout=240)
            assert (second.returncode, errors) == (0, "")
            said += rest
        told = first.communicate(timeout=240)[0]
        assert first.returncode == (-signal.SIGKILL if end == "killed" else 0)
    check_as_of_one(run, one)
    assert said.count("training has ended; all remaining checkpoints are evaluated") == 1
    evaluated = [f"ckpt-{step}: val_eval" in text for step in (0, 2, 4) for text in (told, said)]
    assert evaluated == ([False, True] * 3 if end == "killed" else [True, False, False, True, False, True])


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_line(run, one):
    with start("-c", HALF.format(run=run.folder)) as first:
        first.communicate(timeout=240)
        assert first.returncode == -signal.SIGKILL
    assert run.results.read_text().splitlines()[-1] == '{"step": 0, "se'
    assert list(run.folder.glob(".evaluating-*"))
    assert command("evaluate.py", "--model_dir", run.folder).returncode == 0
    check_as_of_one(run, one)


@pytest.mark.slow
def test_one_of_the_latest_waits_for_another(run, tmp_path):
    for file in run.checkpoints.glob("ckpt-[02].*"):
        file.unlink()
    begun, go = tmp_path / "begun", tmp_path / "go"
    with start("-c", SLOW.format(run=run.folder, begun=begun, go=go)) as first:
        wait_for(begun.exists, first)
        with start("evaluate.py", "--model_dir", run.folder, "--once") as second:
            assert "evaluating" in second.stdout.readline()
            time.sleep(0.5)
            go.touch()
            said = second.communicate(timeout=240)[0]
            assert second.returncode == 0
    assert len(results_of(run)) == 3
    assert "ckpt-4: val_eval" not in said
    assert "cmc@1" in said


def test_a_claim_is_of_one_process(tmp_path):
    run, checkpoints = RunFolder(tmp_path), [tmp_path / f"ckpt-{step}" for step in (0, 2, 4)]
    code = "import sys; from model.evaluation.claims import Claims; from model.run.run_folder import RunFolder\n"
    code += "from pathlib import Path; checkpoints = [Path(f'ckpt-{step}') for step in (0, 2, 4)]\n"
    code += f"claims = Claims(RunFolder('{tmp_path}'))\n"
    code += "with claims.first(checkpoints) as mine: print(mine, claims.writes_events(), flush=True); sys.stdin.read()"
    (tmp_path / ".evaluating-ckpt-0").mkdir()
    (tmp_path / ".evaluating-ckpt-2").mkdir()
    with start("-c", code, stdin=-1) as other:
        assert other.stdout.readline() == "ckpt-0 True\n"
        with Claims(run) as claims:  # only what nobody works on is removed
            assert [path.name for path in tmp_path.glob(".evaluating*")] == [".evaluating-ckpt-0"]
            with claims.first(checkpoints) as mine:
                assert mine == checkpoints[1]
            with claims.first(checkpoints[:1]) as mine:
                assert mine is None
            assert (claims.others(), claims.writes_events()) == (True, False)
            other.kill()
            other.wait()
            assert (claims.others(), claims.writes_events()) == (False, True)
            with claims.first(checkpoints) as mine:
                assert mine == checkpoints[0]


@pytest.mark.slow
def test_three_evaluators_killed_at_random(dataset, tmp_path):
    """20 kills in all, at the moments that a seed chooses; those that are killed are started again."""
    run = RunFolder(make_run(tmp_path / "run", dataset, train_iterations=60, keep_checkpoints=None, csv_log=True))
    assert command("train.py", "--model_dir", run.folder).returncode == 0
    one = RunFolder(shutil.copytree(run.folder, tmp_path / "one"))
    assert command("evaluate.py", "--model_dir", one.folder).returncode == 0
    chance, kills = random.Random(0), 0
    evaluators = [start("evaluate.py", "--model_dir", run.folder) for _ in range(3)]
    while evaluators:
        time.sleep(chance.uniform(0.1, 1.5))
        number = chance.randrange(len(evaluators))
        if evaluators[number].poll() is None and kills < 20 and run.results.exists():
            evaluators[number].kill()
            evaluators[number].communicate()
            evaluators[number] = start("evaluate.py", "--model_dir", run.folder)
            kills += 1
        for ended in [each for each in evaluators if each.poll() is not None]:
            assert (ended.communicate()[1], ended.returncode) == ("", 0)
            evaluators.remove(ended)
    check_as_of_one(run, one)
    print(f"{kills} kills, {len(results_of(run))} results")
