"""The contenders of `benchmarks.losses`, and the process that measures one of them.

A contender is forward and backward of one loss on one batch. The settings of a peer make it compute the same as the
strategy it is compared with, as far as possible.
"""

import contextlib
import ctypes
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MARGIN = 0.2
METRIC = "euclidean"
DIMENSIONS = 128
IMAGES = 4  # K, images per identity
SETTING = f"{DIMENSIONS} dimensions and length 1, {IMAGES} of each identity, {METRIC} distance, margin {MARGIN}"
TINY = 8  # size of a batch that starts threads and libraries before the measurement

Step = Callable[[], tuple[float, Any]]  # one forward and backward: the loss, and its gradient at the embeddings


class Contender(NamedTuple):
    """One loss to measure.

    Attributes:
        name: its name in the table.
        against: the strategy of ours with the same or the most similar definition; for ours, its own name.
        same: whether the definitions are equal, so the values must agree.
        packages: the packages that it needs.
        build: makes a `Step` from embeddings (B, D) and labels (B,).
        bytes: a rough lower limit of the memory for a batch of B.
    """

    name: str
    against: str
    same: bool
    packages: tuple[str, ...]
    build: Callable[[np.ndarray, np.ndarray], Step]
    bytes: Callable[[int], float]

    @property
    def ours(self) -> bool:
        return self.name == self.against


def contenders(strategies: list[str]) -> list[Contender]:
    """The strategies, followed by their peers."""
    found = [Contender(name, name, True, (), _ours(name), lambda b: 0.0) for name in strategies]
    semi_hard = "batch_semi_hard" if "batch_semi_hard" in strategies else "tf_batch_semi_hard"
    tfa, pml = ("tensorflow-addons",), ("torch", "pytorch-metric-learning")
    peers = [
        Contender("TFA hard", "batch_hard", True, tfa, _tfa("triplet_hard_loss"), lambda b: 0.0),
        Contender("TFA semi-hard", "tf_batch_semi_hard", True, tfa, _tfa("triplet_semihard_loss"), _cube(15)),
        Contender("TFA semi-hard, XLA", "tf_batch_semi_hard", True, tfa, _tfa("triplet_semihard_loss", True), _cube(8)),
        Contender("PML batch-hard miner", "batch_hard", True, pml, _pml("batch_hard"), lambda b: 0.0),
        Contender("PML all triplets", "batch_all", True, pml, _pml("all"), _pml_bytes),
        Contender("PML semi-hard miner", semi_hard, False, pml, _pml("semihard"), _pml_bytes),
    ]
    return found + [peer for peer in peers if peer.against in strategies]


def _cube(bytes_per_triple: float) -> Callable[[int], float]:
    return lambda b: bytes_per_triple * b**3


def _pml_bytes(b: int) -> float:
    """The size of a mask of B x B x B bytes, or, if 32 bits cannot count them, of the indices of all triplets."""
    return b**3 if b**3 < 2**31 - 1 else 60.0 * b * (IMAGES - 1) * (b - IMAGES)


def make_batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (B, D) of length 1, and labels (B,). Those of one identity are a little closer than others."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(size // IMAGES), IMAGES)
    centres = random.normal(size=(size // IMAGES, DIMENSIONS))
    embeddings = centres[labels] + 2.0 * random.normal(size=(size, DIMENSIONS))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels.astype(np.int64)


def _tensorflow_step(loss: Callable, embeddings: np.ndarray, labels: np.ndarray, xla: bool = False) -> Step:
    import tensorflow as tf

    @tf.function(jit_compile=xla)
    def step(embeddings: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    inputs = tf.constant(embeddings), tf.constant(labels)
    traced = step.get_concrete_function(*inputs)  # trace now, as tracing is not part of a step

    def run() -> tuple[float, Any]:
        value, gradient = traced(*inputs)
        return float(value), gradient

    return run


def _ours(strategy: str) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        from model.losses.triplet import triplet_loss

        return _tensorflow_step(lambda y, x: triplet_loss(strategy, y, x, MARGIN, METRIC)[0], embeddings, labels)

    return build


def _tfa(function: str, xla: bool = False) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        tests = str(Path(__file__).resolve().parent.parent / "tests")
        if tests not in sys.path:
            sys.path.append(tests)  # importing it needs a helper of the tests
        from helpers.tensorflow_addons_oracle import load_triplet_losses

        loss = getattr(load_triplet_losses(), function)
        return _tensorflow_step(lambda y, x: loss(y, x, MARGIN, distance_metric="L2"), embeddings, labels, xla)

    return build


def _pml(mining: str) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        import torch
        from pytorch_metric_learning import distances, losses, miners, reducers

        # The embeddings have length 1 already, and ours do not normalise either.
        euclidean = distances.LpDistance(normalize_embeddings=False, p=2)
        miner = {
            "all": lambda: None,
            "semihard": lambda: miners.TripletMarginMiner(MARGIN, type_of_triplets="semihard", distance=euclidean),
            "batch_hard": lambda: miners.BatchHardMiner(distance=euclidean),
        }[mining]()
        # The default reducer averages over the triplets with a loss, as batch_all does; batch_hard averages over all.
        reducer = reducers.MeanReducer() if mining == "batch_hard" else reducers.AvgNonZeroReducer()
        loss = losses.TripletMarginLoss(MARGIN, distance=euclidean, reducer=reducer)
        inputs, targets = torch.tensor(embeddings, requires_grad=True), torch.tensor(labels)

        def run() -> tuple[float, Any]:
            inputs.grad = None
            value = loss(inputs, targets, miner(inputs, targets) if miner else None)
            value.backward()
            return value.item(), inputs.grad

        return run

    return build


def serve(pipe: Connection, names: list[str], name: str, size: int, threads: int) -> None:
    """Runs in the process of one contender at one batch size: answers requests until the pipe is closed.

    It first sends "ready". The answer to ("first",) is the result and cost of one call; the answer to ("time", n) is
    the mean seconds per call of n calls. The answer to a failure is an exception, and the process ends.
    """
    try:
        contender = next(c for c in contenders(names) if c.name == name)
        _use_threads(threads, torch="torch" in contender.packages)
        contender.build(*make_batch(TINY))()
        step = contender.build(*make_batch(size))
        pipe.send("ready")
        while True:
            request, *values = pipe.recv()
            pipe.send(_first(step) if request == "first" else _seconds(step, *values))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass
    except MemoryError:
        pipe.send(MemoryError("out of memory"))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        line = lines[-1].strip() if lines[0] == "in user code:" else lines[0]  # TensorFlow prints the path first
        pipe.send(RuntimeError(f"{type(error).__name__}: {line}"[:120].replace("|", "/")))


def _use_threads(threads: int, torch: bool) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if torch:
        import torch as library

        library.set_num_threads(threads)
        return
    from model.run.devices import prepare

    prepare("cpu")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _seconds(step: Step, calls: int) -> float:
    if calls > 1:
        step()  # other contenders have used the caches and the cores meanwhile
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def _first(step: Step) -> dict[str, Any]:
    """The loss, its gradient (B, D), the seconds of a call, and the peak of memory above the level before it."""
    before = reset_peak()
    start = time.perf_counter()
    loss, gradient = step()
    seconds = time.perf_counter() - start
    peak = None if before is None else max(0, memory_of("self", "VmHWM") - before)
    return {"loss": loss, "gradient": np.asarray(gradient), "seconds": seconds, "peak": peak}


def reset_peak() -> int | None:
    """Resets the peak of memory to the present level and returns that level; None if the system cannot."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # memory that is free but kept would hide the use of a call
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory_of("self", "VmRSS")
    except OSError:
        return None


def memory_of(process: int | str, field: str) -> int:
    """The memory of a process in bytes: VmRSS now, VmHWM at its peak; 0 if unknown."""
    return proc_bytes(f"/proc/{process}/status", field) or 0


def proc_bytes(file: str, field: str) -> int | None:
    """The value of a line `field: number kB` in a file, in bytes; None if there is none."""
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


def machine(threads: int) -> str:
    """Processor, cores, memory, threads."""
    processor, memory = platform.processor() or platform.machine(), proc_bytes("/proc/meminfo", "MemTotal")
    with contextlib.suppress(OSError, IndexError):
        processor = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].splitlines()[0]
    room = f", {memory / 2**30:.0f} GiB of memory" if memory else ""
    return f"{processor}, {os.cpu_count()} cores{room}; {threads} threads each"


class NotRunError(Exception):
    """Why a contender has no results."""


class Worker:
    """The process of one contender at one batch size, as seen by its parent."""

    def __init__(self, names: list[str], name: str, size: int, threads: int, memory_limit: float):
        spawn = multiprocessing.get_context("spawn")  # a fork would share the parent's memory
        self.pipe, other = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(other, names, name, size, threads), daemon=True)
        self.process.start()
        other.close()  # otherwise the pipe would not show the end of the process
        self.memory_limit = memory_limit

    def ask(self, request: tuple | None, seconds: float) -> Any:
        """The answer to a request; for None, the first message "ready".

        Raises:
            NotRunError: when there is no answer within the limits of time and memory.
        """
        end = time.monotonic() + seconds
        try:
            if request is not None:
                self.pipe.send(request)
            while not self.pipe.poll(0.1):
                if memory_of(self.process.pid, "VmRSS") > self.memory_limit:
                    raise NotRunError(f"stopped: needs more than {self.memory_limit / 1e9:.3g} GB")
                if time.monotonic() > end:
                    raise NotRunError(f"stopped: takes more than {seconds:.0f} s")
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            raise NotRunError(f"failed: the process ended with {code}" + " (out of memory?)" * (code == -9)) from None
        if isinstance(answer, Exception):
            raise NotRunError(f"failed: {answer}")
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
