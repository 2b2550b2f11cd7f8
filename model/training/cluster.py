"""The devices of a training, on one machine or many, and what its workers tell each other between steps."""

import re
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from model.configuration.params import Params
from model.training.rendezvous import LostWorkerError, Message
from runtime.workers import Workers

_BLOCK = 2**24  # bytes sent together
_CONNECT = 120  # seconds in which all must connect after they have met, or SIGALRM ends the process
_TASK = re.compile(r"/job:worker(?:/replica:0)?/task:([0-9]+)")


class Agreement(NamedTuple):
    """What the workers agree on before a step.

    Attributes:
        stop: the first worker that was asked to stop, and the `code` of its `StopRequest`; None to continue.
        failed: the first worker that cannot continue; None if there is none.
        ended: whether the chief ends the training early.
        factor: of the learning rate, from the chief.
    """

    stop: tuple[int, int] | None
    failed: int | None
    ended: bool
    factor: float


class Cluster:
    """All devices of a training.

    Attributes:
        strategy: TensorFlow's.
        workers: the workers; None for a single process.
        number: this worker; 0 is the chief, which writes the files of the run.
        replicas: devices of all workers.
        local: devices of this worker.
    """

    def __init__(self, params: Params, workers: Workers | None = None, members: list[Message] | None = None) -> None:
        """Args:
        params: `distribution`.
        workers: the workers, if several; `members` is what `meet` returned for them.

        Raises:
            UserError: when the port of this worker cannot be used.
        """
        self.workers, self.number = workers, workers.number if workers else 0
        self.strategy = _connect(workers, members or []) if workers else _local(params.distribution)
        self.replicas = self.strategy.num_replicas_in_sync
        self.local = self.replicas // (workers.of if workers else 1)

    @property
    def alone(self) -> bool:
        """Whether there is no other worker."""
        return self.workers is None

    @property
    def chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.number == 0

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch that this worker loads and embeds."""
        share = batch_size // self.replicas * self.local
        return slice(self.number * share, (self.number + 1) * share)

    def distributed(self, dataset: tf.data.Dataset) -> Iterator[Any]:
        """The batches of a dataset that has, for each step, one for every device of this process in turn."""
        if self.replicas == 1:
            return iter(dataset)
        return iter(self.strategy.distribute_datasets_from_function(lambda _: dataset))

    def agree(self, *, stop: int, failed: bool, ended: bool, factor: float) -> Agreement:
        """Tells all workers, and hears from all of them. Each must call it before each step.

        Args:
            stop: the exit code of a request to stop (see `StopRequest`); 0 for none.
            failed: whether this worker cannot continue.
            ended, factor: of the chief; those of others are ignored.
        """
        if self.workers is None:
            return Agreement((0, stop) if stop else None, 0 if failed else None, ended, factor)
        said = np.zeros([self.workers.of + 1, 2])
        said[self.number] = stop, failed
        if self.chief:
            said[-1] = ended, factor
        *each, (ended, factor) = self._sum(said).tolist()
        stops = [(number, int(code)) for number, (code, _) in enumerate(each) if code]
        failures = [number for number, (_, failed) in enumerate(each) if failed]
        return Agreement(next(iter(stops), None), next(iter(failures), None), bool(ended), factor)

    def share(self, data: bytes | None) -> bytes:
        """The chief's bytes, on all workers; the argument of others is ignored."""
        if self.workers is None:
            return data or b""
        own = data if self.chief and data else b""
        size = int(self._sum(np.array([len(own)], np.int64))[0])
        whole = bytearray()
        for start in range(0, size, _BLOCK):
            length = min(_BLOCK, size - start)
            padded = max(4, 1 << (length - 1).bit_length())  # few different sizes: each is compiled once
            block = np.frombuffer(own[start : start + length].ljust(padded, b"\0"), np.int32)  # + 0 changes no bit
            whole += self._sum(block).tobytes()[:length]
        return bytes(whole)

    def share_values(self, variables: list[Any]) -> None:
        """Gives the variables of all workers the chief's values, bit for bit."""
        if self.workers is None:
            return
        values = [np.asarray(variable.numpy()) for variable in variables]
        whole = self.share(b"".join(value.tobytes() for value in values) if self.chief else None)
        place = 0
        for variable, value in zip(variables, values, strict=True):
            if not self.chief:
                new = np.frombuffer(whole, value.dtype, value.size, place).reshape(value.shape)
                variable.assign(new)
            place += value.nbytes

    def lost(self, error: tf.errors.OpError) -> LostWorkerError | None:
        """The error for a failed exchange with other workers; None if this error is something else."""
        kinds = (
            tf.errors.UnavailableError,
            tf.errors.CancelledError,
            tf.errors.AbortedError,
            tf.errors.DeadlineExceededError,
        )
        if self.workers is None or not isinstance(error, kinds):
            return None
        named = [int(task) for task in _TASK.findall(error.message) if int(task) != self.number]
        return self.lost_worker(named[0] if named else None)

    def lost_worker(self, number: int | None) -> LostWorkerError:
        """The error for a worker that has ended or cannot continue; None if it is unknown which."""
        assert self.workers
        who = "another worker" if number is None else self.workers.name(number)
        return LostWorkerError(
            f"{who} has ended or cannot continue, and training needs all; see what it printed, then start all workers "
            f"again to resume from the last checkpoint"
        )

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of an array over the workers."""
        zeros = np.zeros_like(values)

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            return tf.constant(zeros if context.replica_id_in_sync_group % self.local else values)

        given = self.strategy.experimental_distribute_values_from_function(of_replica)
        return self.strategy.experimental_local_results(self._all_reduce(given))[0].numpy()

    @tf.function(reduce_retracing=False)
    def _all_reduce(self, values: Any) -> Any:
        def of_replica(x: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(x))

        return self.strategy.run(of_replica, args=(values,))


def _local(distribution: str) -> tf.distribute.Strategy:
    """A strategy for one device, or for all GPUs of this machine (without any: all logical CPU devices)."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if distribution == "none" or (distribution != "mirrored" and len(devices) == 1):
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _connect(workers: Workers, members: list[Message]) -> tf.distribute.Strategy:
    """The strategy of all workers; each must call this at about the same time."""
    cluster = tf.train.ClusterSpec({"worker": [each["address"] for each in members]})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster,
        task_type="worker",
        task_id=workers.number,
        rpc_layer="grpc",
        num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
    )
    terminated = signal.getsignal(signal.SIGTERM)
    # Should a worker vanish right after the meeting, TensorFlow would wait for an hour, deaf to SIGTERM and to Python.
    signal.alarm(_CONNECT)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0]
        raise LostWorkerError(f"{workers.name(workers.number)} cannot connect to the others: {reason}") from error
    finally:
        signal.alarm(0)
    signal.signal(signal.SIGTERM, terminated)  # TensorFlow's own handler swallows it
    # All workers have the same number of batches: they need not ask each other before each whether there is one.
    strategy.extended.experimental_enable_get_next_as_optional = False
    return strategy
