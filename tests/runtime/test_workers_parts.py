"""The part of a job's work that a process has: SLURM's steps and job arrays, TF_CONFIG."""

import json

import pytest

from runtime.errors import UserError
from runtime.workers import find_part

CLUSTER = {"worker": ["a:1", "b:1", "c:1"]}
NO_CLUSTER = {"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "3"}  # a batch script, before srun


def srun(task, of):
    return {"SLURM_PROCID": task, "SLURM_STEP_NUM_TASKS": of, "SLURM_STEP_NODELIST": "node[1-2]"}


def array(task, first, last, step, count):
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    return {f"SLURM_ARRAY_TASK_{n}": str(v) for n, v in zip(names, (task, first, last, step, count), strict=True)}


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        (NO_CLUSTER, None),
        (srun("0", "3"), (0, 3)),
        (srun("2", "3"), (2, 3)),
        ({"TF_CONFIG": json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}})}, (1, 3)),
        (NO_CLUSTER | array(0, 0, 9, 1, 10), (0, 10)),  # --array=0-9
        (NO_CLUSTER | array(9, 0, 9, 1, 10), (9, 10)),
        (array(3, 1, 4, 1, 4), (2, 4)),  # --array=1-4
        (array(10, 2, 10, 4, 3), (2, 3)),  # --array=2-10:4
        (array(5, 5, 5, 1, 1), (0, 1)),  # --array=5
    ],
)
def test_the_part_of_a_process(environ, part):
    assert find_part(environ) == part


def test_the_steps_of_all_tasks_of_an_array_are_the_parts_once_each():
    parts = [find_part(array(task, 1, 3, 2, 2) | srun(str(worker), "3")) for task in (1, 3) for worker in range(3)]
    assert parts == [(number, 6) for number in range(6)]


@pytest.mark.parametrize(
    "environ",
    [
        array(5, 1, 7, 1, 3),  # --array=1,5,7
        array(4, 1, 7, 2, 4),  # no task of it
        array(9, 1, 7, 2, 4),
        array(1, 1, 1, 0, 1),
        array("x", 1, 7, 2, 4),
        {"SLURM_ARRAY_TASK_ID": "1"},
    ],
)
def test_an_array_that_is_no_range(environ):
    with pytest.raises(UserError, match=r"SLURM_ARRAY_TASK_ID=.*must be a range, such as --array=0-9"):
        find_part(environ)
