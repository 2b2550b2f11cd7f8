"""The processes that work on one job, and which of them this one is: by options, TF_CONFIG or SLURM."""

import json
import os
import re
import socket
from collections.abc import Mapping
from typing import NamedTuple

from runtime.errors import UserError

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:,/\[\]]+):([0-9]{1,5})")
# Under SLURM, jobs that share a node have ports of their own: one for each task on the node, up to 16.
_FIRST_PORT, _JOBS, _TASKS = 20000, 600, 16


class Workers(NamedTuple):
    """The workers of a job.

    Attributes:
        number: this worker, from 0; 0 is the chief.
        of: how many there are.
        addresses: "host:port" of each; under SLURM only of the chief and of this one, and "" for the others.
        source: where this is from: "--worker", "TF_CONFIG" or "SLURM".
    """

    number: int
    of: int
    addresses: tuple[str, ...]
    source: str

    def name(self, number: int) -> str:
        """Words for a worker: "worker 1 (host1:2222)"."""
        return f"worker {number} ({self.addresses[number]})" if self.addresses[number] else f"worker {number}"

    @property
    def chief(self) -> bool:
        """Whether this worker writes the files of the job."""
        return self.number == 0


def find_workers(
    worker: int | None = None, addresses: str | None = None, environ: Mapping[str, str] | None = None
) -> Workers | None:
    """The workers of this job; None if nothing describes them.

    Args:
        worker: --worker, the number of this one from 0.
        addresses: --workers, "host:port,host:port", equal on all.
        environ: the environment, read if neither is given: TF_CONFIG, then that of a SLURM step (`srun`).

    Raises:
        UserError: for an incomplete or invalid description.
    """
    environ = os.environ if environ is None else environ
    if worker is not None or addresses is not None:
        if worker is None or addresses is None:
            raise UserError(
                "--worker and --workers belong together, such as --worker 0 --workers host0:2222,host1:2222"
            )
        return _workers(worker, addresses.split(","), "--worker", f"--worker {worker} --workers {addresses}")
    if text := environ.get("TF_CONFIG", "").strip():
        return _of_tf_config(text)
    return _of_slurm_step(environ)


def _of_slurm_step(environ: Mapping[str, str]) -> Workers | None:
    """The workers of a step of `srun`; None outside one, as in the batch script itself."""
    usual = {"PROCID": "", "STEP_NUM_TASKS": "", "LOCALID": "0", "JOB_ID": "0"}
    texts = {name: environ.get(f"SLURM_{name}", default) for name, default in usual.items()}
    nodes = environ.get("SLURM_STEP_NODELIST", "")
    if not nodes or not all(texts.values()):
        return None
    try:
        number, of, local, job = map(int, texts.values())
    except ValueError:
        what = ", ".join(f"SLURM_{name}={text}" for name, text in texts.items())
        raise UserError(f"{what}: these must be numbers") from None
    # Task 0 is on the first node: "rack[1-2]n[03,5-7],m1" begins with rack1n03. Each task tells the chief its own node.
    first = re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", re.sub(r"(\[[^\]]*\])|,.*", r"\1", nodes))
    if not 0 <= number < of:
        raise UserError(f"SLURM_PROCID={number}, SLURM_STEP_NUM_TASKS={of}: tasks count from 0")
    port = _FIRST_PORT + job % _JOBS * _TASKS
    addresses = [f"{first}:{port}", *[""] * (of - 1)]
    addresses[number] = f"{environ.get('SLURMD_NODENAME') or socket.gethostname()}:{port + local}"
    return Workers(number, of, tuple(addresses), "SLURM")


def find_part(environ: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    """Which part of the job's work is this process's, from 0, and of how many; None if the job has no parts.

    The parts are the tasks of a SLURM job array, the workers of `find_workers`, or the workers of each task.

    Raises:
        UserError: for an incomplete or invalid description.
    """
    environ = os.environ if environ is None else environ
    workers, task = find_workers(environ=environ), _array_task(environ)
    number, of = (workers.number, workers.of) if workers else (0, 1)
    if task:
        number, of = task[0] * of + number, task[1] * of
    return (number, of) if workers or task else None


def _array_task(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """The number, from 0, of this task of a SLURM job array, and how many there are; None outside one."""
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]
    if names[0] not in environ:
        return None
    found = " ".join(f"{name}={environ.get(name, '')}" for name in names)
    try:
        task, first, last, step, count = (int(environ[name]) for name in names)
        if first + (count - 1) * step != last or (task - first) % step or not first <= task <= last:
            raise ValueError
    except (KeyError, ValueError, ZeroDivisionError):
        raise UserError(f"{found}: the tasks of the job array must be a range, such as --array=0-9") from None
    return (task - first) // step, count


def _of_tf_config(text: str) -> Workers | None:
    """The workers of a TF_CONFIG: its chief, if any, is number 0."""
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        chiefs, others = ([str(each) for each in cluster.get(kind, [])] for kind in ("chief", "worker"))
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
        raise UserError(f"TF_CONFIG is invalid; it must be like {example}") from None
    if not chiefs and not others:
        return None
    if len(chiefs) > 1:
        raise UserError(f"TF_CONFIG has {len(chiefs)} chiefs; there can be only one")
    if kind not in ("chief", "worker"):
        raise UserError(f"TF_CONFIG: task type {kind!r}; only 'chief' and 'worker' train (an evaluator needs none)")
    if not 0 <= index < len(chiefs if kind == "chief" else others):
        raise UserError(f"TF_CONFIG: {kind} {index} of {len(chiefs if kind == 'chief' else others)}; they count from 0")
    return _workers(index + (len(chiefs) if kind == "worker" else 0), chiefs + others, "TF_CONFIG", "TF_CONFIG")


def _workers(number: int, addresses: list[str], source: str, what: str) -> Workers:
    for address in addresses:
        found = _ADDRESS.fullmatch(address)
        if not found or not 0 < int(found[2]) < 2**16:
            raise UserError(f"{what}: {address!r} is no address; write host:port, such as host0:2222")
    if len(set(addresses)) < len(addresses):
        raise UserError(f"{what}: an address occurs twice; each worker needs its own")
    if not 0 <= number < len(addresses):
        raise UserError(f"{what}: there are {len(addresses)} workers, with numbers 0 to {len(addresses) - 1}")
    return Workers(number, len(addresses), tuple(addresses), source)
