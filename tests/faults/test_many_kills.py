"""A training and its evaluator, killed sixty times: nothing that was finished is lost, damaged or there twice."""

import functools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import tensorflow as tf
from helpers.commands import command, start
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits

from model.run.checkpoint_files import list_checkpoints
from runtime.json_files import read_json_lines

pytestmark = pytest.mark.slow
SEED, KILLS, STEPS, SETS = 0, 60, 600, ["val_eval", "test"]
OPTIONS = {"train_iterations": STEPS, "deterministic": True, "save_checkpoints_steps": 3, "save_summary_steps": 1}
OPTIONS |= {
    "keep_checkpoints": None,
    "eval_sets": SETS,
    "eval_pictures": False,
    "eval_interval_secs": 0.05,
    "eval_timeout_secs": 600,
}


class Kill(NamedTuple):
    """When to kill: at a share of the work, then after some seconds, or as soon as something is being written.

    `start`: the seconds count from the start of the process, which may still be importing TensorFlow. `write`: at the
    latest after these seconds.
    """

    share: float
    way: str  # "start", "work" or "write"
    seconds: float


def planned(chance: random.Random, count: int) -> list[Kill]:
    """Kills all over the work, in its order."""
    shares = sorted(chance.uniform(0, 0.9) for _ in range(count))
    longest = {"start": 5.0, "work": 0.1, "write": 5.0}
    ways = [chance.choice(["start", "work", "work", "write", "write"]) for _ in shares]
    return [Kill(share, way, chance.uniform(0, longest[way])) for share, way in zip(shares, ways, strict=True)]


class Victim:
    """A command that is started again after each kill, until it ends by itself."""

    def __init__(self, script: str, run: Path, lines: Path, total: int, writes: Callable[[], bool], plan: list[Kill]):
        self._words, self._lines, self._total, self._writes, self._plan = (script, run), lines, total, writes, plan
        self.killed, self.in_writes, self.ended = 0, 0, False
        self._output = run.parent / f"{script}.log"
        self._begin()

    def _begin(self) -> None:
        self._from, self._due = time.monotonic(), None
        with open(self._output, "a") as output:
            self._process = start(self._words[0], "--model_dir", self._words[1], stdout=output, stderr=output)

    def look(self) -> None:
        """Kills the process if its next moment has come."""
        if self._process.poll() is not None:
            assert self._process.returncode == 0, self._output.read_text()[-3000:]
            assert not self._plan, f"{self._words[0]} ended before {len(self._plan)} of its kills"
            self.ended = True
        elif self._plan and self._is_time(self._plan[0]):
            self._process.kill()
            self._process.wait()
            self._plan.pop(0)
            self.killed += 1
            self.in_writes += self._writes()
            self._begin()

    def _is_time(self, kill: Kill) -> bool:
        now = time.monotonic()
        if kill.way == "start":
            return now >= self._from + kill.seconds
        if line_count(self._lines) < kill.share * self._total:
            return False
        self._due = self._due or now + kill.seconds
        return now >= self._due or (kill.way == "write" and self._writes())


@functools.lru_cache(maxsize=4)
def _line_count(file: Path, size: int) -> int:
    return file.read_bytes().count(b"\n")


def line_count(file: Path) -> int:
    return _line_count(file, file.stat().st_size) if file.exists() else 0


def half_checkpoint(run: Path) -> bool:
    return any(path.name.endswith(("_temp", ".tmp")) for path in (run / "checkpoints").glob("*"))


def half_evaluation(run: Path) -> bool:
    """Some sets of the last checkpoint have a line, or the best checkpoint is being kept."""
    if any(run.glob("best/.*.tmp")) or any(run.glob(".best.json.*")):
        return True
    return line_count(run / "results.jsonl") % len(SETS) != 0


def check_readable(checkpoints: Path, seen: set[Path]) -> None:
    """Reads every tensor of each new checkpoint; TensorFlow compares them with their checksums."""
    for _, path in list_checkpoints(checkpoints):
        if path not in seen:
            reader = tf.train.load_checkpoint(str(path))
            names = list(reader.get_variable_to_shape_map())
            assert len(names) >= 30
            for name in names:
                reader.get_tensor(name)
            seen.add(path)


def results(run: Path) -> dict[tuple[str, str], dict]:
    """The metrics by checkpoint and set, of which each may occur once."""
    lines = read_json_lines(run / "results.jsonl")
    found = {(line["checkpoint"], line["set"]): line["metrics"] for line in lines}
    assert len(found) == len(lines)
    return found


def test_sixty_kills(dataset, tmp_path):
    whole, run = (make_run(tmp_path / name, dataset, **OPTIONS) for name in ("whole", "run"))
    for script in ("train.py", "evaluate.py"):
        done = command(script, "--model_dir", whole)
        assert done.returncode == 0, done.stderr
    chance, checkpoints, seen = random.Random(SEED), run / "checkpoints", set()
    lines = (STEPS // OPTIONS["save_checkpoints_steps"] + 1) * len(SETS)
    plans = [planned(chance, KILLS // 2) for _ in range(2)]
    victims = [
        Victim("train.py", run, run / "metrics.jsonl", STEPS, lambda: half_checkpoint(run), plans[0]),
        Victim("evaluate.py", run, run / "results.jsonl", lines, lambda: half_evaluation(run), plans[1]),
    ]
    while not all(victim.ended for victim in victims):
        before = sum(victim.killed for victim in victims)
        for victim in victims:
            victim.look()
        if sum(victim.killed for victim in victims) > before:
            check_readable(checkpoints, seen)
        time.sleep(0.002)
    check_readable(checkpoints, seen)
    print([(victim.killed, victim.in_writes) for victim in victims])
    assert [victim.killed for victim in victims] == [KILLS // 2] * 2
    assert all(victim.in_writes for victim in victims)
    assert len(seen) == STEPS // OPTIONS["save_checkpoints_steps"] + 1
    assert_same_bits(run, whole, STEPS)
    assert results(run) == results(whole)
    assert (run / "best.json").read_text() == (whole / "best.json").read_text()
    left = [path.name for path in run.rglob(".*.tmp")] + [path.name for path in run.rglob("*_temp")]
    assert left == []
