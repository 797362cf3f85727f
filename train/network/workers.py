"""Workers: machines that train one network together, by TensorFlow's MultiWorkerMirroredStrategy and TF_CONFIG.

Every worker holds all variables, learns from its share of every batch, and takes the same step, by the mean of all gradients.
Only BatchNorm statistics and dropout are a worker's own while an epoch runs. A worker that dies ends the others: their
next exchange raises one of LOST within seconds, by a broken connection or a heartbeat that does not come.
"""

import json
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
EXAMPLE = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Workers:
    """All workers as one of them, number `index` of `count`, sees them; by default the only one."""

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    index: int = 0
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes files and reads checkpoints."""
        return self.index == 0

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The means over all workers of tensors of one type, the same on every worker."""
        return list(tensors) if self.count == 1 else self._mean(list(tensors))

    def from_chief(self, content: bytes) -> bytes:
        """The chief's content, on every worker."""
        if self.count == 1:
            return content
        own = content if self.chief else b""
        length = int(self._sum(tf.constant(len(own))))
        if not length:
            return b""  # TensorFlow 2.21 crashes where a tensor without elements is reduced
        padded = own.ljust(-(-length // 4) * 4, b"\0")  # the others add zeros
        return self._sum(tf.constant(np.frombuffer(padded, np.int32))).numpy().tobytes()[:length]

    @tf.function
    def _mean(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        return self._reduce(tf.distribute.ReduceOp.MEAN, tensors)

    @tf.function
    def _sum(self, tensor: tf.Tensor) -> tf.Tensor:
        return self._reduce(tf.distribute.ReduceOp.SUM, [tensor])[0]

    def _reduce(self, by: tf.distribute.ReduceOp, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        def reduce(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
            # A tensor from outside has no device, by which the strategy would know where the result goes.
            placed = [tf.identity(tensor) for tensor in tensors]
            return tf.distribute.get_replica_context().all_reduce(by, placed)

        return self.strategy.run(reduce, (tensors,))


def from_configuration(text: str) -> Workers:
    """The workers that TF_CONFIG names, once all of them have started; the only worker where it names none.

    To be called before TensorFlow computes anything. Raises ValueError where it is wrong, or the worker cannot take part.
    """
    if not text.strip():
        return Workers()
    addresses, index = _read(text)
    if not addresses:
        return Workers()
    print(f"worker {index} of {len(addresses)}: waiting for all to start", flush=True)
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # Python hears no Ctrl-C while TensorFlow waits, up to an hour
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0]
        raise ValueError(f"Worker {index} cannot take part at {addresses[index]}: {reason}") from None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which TensorFlow takes as a notice, and goes on
    if strategy.num_replicas_in_sync != len(addresses):
        raise ValueError("A worker trains on one device: start one for each GPU, with CUDA_VISIBLE_DEVICES.")
    return Workers(strategy, index, len(addresses))


def _read(text: str) -> tuple[list[str], int]:
    """The addresses of all workers and the number of this one, or no address. Raises ValueError."""
    try:
        configuration = json.loads(text)
        if not configuration.get("cluster"):
            return [], 0
        jobs = {job: list(addresses) for job, addresses in configuration["cluster"].items()}
        tasks = [(job, i) for job in ("chief", "worker") for i in range(len(jobs.get(job, [])))]
        addresses = [jobs[job][i] for job, i in tasks]
        task = configuration["task"]["type"], int(configuration["task"]["index"])
        if task in tasks and all(re.fullmatch(r".+:\d+", address) for address in addresses):
            return addresses, tasks.index(task)
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise ValueError(f"TF_CONFIG must be like {EXAMPLE}, with this machine's own index, but is: {text}")
