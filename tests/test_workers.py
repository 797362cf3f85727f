"""Training by two real processes: equal weights, a worker's death, and the restart; what TF_CONFIG may say.

Run as a program, this module is one of the processes: `python -m tests.test_workers STATE DIES COMMAND...` trains as
`python -m train.fit COMMAND` does, dies in the second epoch where DIES is 1, and leaves its last state in STATE.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from skinapp.photo.preprocess import to_pixels
from tests.test_fit import quicken
from train import fit
from train.dataset import Dataset, load_dataset, split_lesions
from train.fit import CHECKPOINT, parser, settings_from
from train.network import trainer
from train.network.trainer import Settings, Trainer, at_size
from train.network.workers import Workers, from_configuration

Parts = tuple[Dataset, Dataset]
TIMEOUT = 240  # seconds: on a busy machine, TensorFlow alone may need a minute to load
WORDS = "--network cnn --filters 4 8 --size 32 --intermediate 48 --epochs 2 --batch 8 --rate 0.01 --warmup 0.5 --averaging 0.9"


def words(data: Path, out: Path) -> list[str]:
    return ["--data", str(data), "--out", str(out), *WORDS.split(), "--views", "1", "--resume"]


def free_addresses() -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return [f"127.0.0.1:{server.getsockname()[1]}" for server in (one, other)]


def start(folder: Path, data: Path, addresses: list[str], dying: int | None) -> list[subprocess.Popen]:
    """Two workers that see the same data, and have an output folder each."""
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        program = [sys.executable, "-m", "tests.test_workers", str(folder / f"state{index}.npz")]
        with (folder / f"{index}.out").open("w") as out, (folder / f"{index}.err").open("w") as errors:
            workers.append(
                subprocess.Popen(
                    [*program, str(int(dying == index)), *words(data, folder / f"out{index}")],
                    env=os.environ | {"TF_CONFIG": json.dumps(task)},
                    stdout=out,
                    stderr=errors,
                )
            )
    return workers


def ended(workers: list[subprocess.Popen]) -> list[int]:
    """The exit codes; whatever still runs after the timeout is killed."""
    try:
        return [worker.wait(TIMEOUT) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


class Run:
    """Two workers of which number 1 dies in the second epoch, then both once more by the same command. `states`: what each
    has at the end, in the order of the trainer's state; the chief's is what its checkpoint holds."""

    def __init__(self, folder: Path, data: Path):
        self.folder = folder
        addresses = free_addresses()
        self.codes_at_death = ended(start(folder, data, addresses, dying=1))
        self.error_at_death = (folder / "0.err").read_text()
        with np.load(folder / "out0" / CHECKPOINT) as checkpoint:
            self.epochs_at_death = len(checkpoint["history"])
        self.codes = ended(start(folder, data, addresses, dying=None))
        self.errors = [(folder / f"{index}.err").read_text() for index in range(2)]
        assert self.codes == [0, 0], self.errors
        with np.load(folder / "out0" / CHECKPOINT) as chief, np.load(folder / "state1.npz") as other:
            names = sorted(name for name in chief.files if name.startswith("state/"))
            self.states = [chief[name] for name in names], [other[name] for name in other.files]


@pytest.fixture(scope="module")
def run(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("workers"), dataset_folder)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return settings_from(parser().parse_args(words(Path(), Path())))


@pytest.fixture(scope="module")
def parts(dataset_folder: Path, settings: Settings) -> Parts:
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, settings.intermediate, "bicubic"))
    split = split_lesions(dataset.records)
    return dataset.part(split, "train"), at_size(dataset.part(split, "tune"), settings)


def test_worker_s_death_ends_the_other_in_one_sentence(run: Run) -> None:
    assert run.codes_at_death == [1, -signal.SIGKILL]
    assert run.error_at_death.splitlines()[-1].startswith("Another worker has ended or is out of reach")
    assert "Traceback" not in run.error_at_death
    assert run.epochs_at_death == 1


def test_same_command_goes_on_from_the_checkpoint_and_the_chief_alone_writes(run: Run) -> None:
    for index in range(2):
        assert "resumed after epoch 1\n" in (run.folder / f"{index}.out").read_text()
    assert len((run.folder / "out0" / "history.csv").read_text().splitlines()) == 3
    assert (run.folder / "out0" / "weights.npz").exists() and (run.folder / "out0" / "metrics.json").exists()
    assert not (run.folder / "out1").exists()


def test_workers_end_with_equal_weights_and_statistics(run: Run, settings: Settings, parts: Parts) -> None:
    for variable, one, other in zip(Trainer(settings, *parts)._state(), *run.states, strict=True):
        if variable.path.endswith("seed_generator_state"):
            assert one[0] != other[0] and one[1] == other[1]  # other random numbers, as many of them
        else:
            np.testing.assert_array_equal(one, other, err_msg=variable.path)


class Simulated(Workers):
    """Two workers in one process, whose means the test takes itself."""

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return list(tensors)

    def from_chief(self, content: bytes) -> bytes:
        return content


def test_two_workers_learn_as_one_process_that_averages_their_gradients(
    run: Run, settings: Settings, parts: Parts
) -> None:
    """Not as one that trains on whole batches: BatchNorm knows only a worker's share, and dropout differs."""
    pair = [Trainer(settings, *parts, Simulated(index=index, count=2)) for index in range(2)]
    started = pair[0].network.get_weights()
    for epoch in range(settings.epochs):
        for shares in zip(*(each.batches(epoch) for each in pair), strict=True):
            assert all(images.shape == (4, 32, 32, 3) for images, *_ in shares)
            own = [
                gradients(each.network, each.log_drawn[0], *share)
                for each, share in zip(pair, shares, strict=True)
            ]
            mean = [(one + other) / 2 for one, other in zip(*own, strict=True)]
            for each in pair:
                each.optimizer.apply(mean, each.network.trainable_variables)
        for one, other in zip(*(each.network.non_trainable_weights for each in pair), strict=True):
            average = (one + other) / 2
            one.assign(average)
            other.assign(average)
    places = {id(variable): place for place, variable in enumerate(pair[0]._state())}
    for before, expected in zip(started, pair[0].network.weights, strict=True):
        change = np.linalg.norm(expected - before)
        found = run.states[1][places[id(expected)]]
        assert np.linalg.norm(found - expected) < 1e-3 * change, expected.path


def gradients(
    network: keras.Model, log_drawn: np.ndarray, images: tf.Tensor, labels: tf.Tensor, _: tf.Tensor
) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        logits = network(images, training=True) + log_drawn
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    return tape.gradient(loss, network.trainable_variables)


def test_shares_are_the_batch_s_pictures_in_order(
    settings: Settings, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "augment", lambda pictures, labels, *_: (pictures, labels))
    both = [Trainer(settings, *parts, Simulated(index=index, count=2)).batches(0) for index in range(2)]
    for whole, *shares in zip(Trainer(settings, *parts).batches(0), *both, strict=True):
        for expected, *found in zip(whole, *shares, strict=True):
            np.testing.assert_array_equal(np.concatenate(found), expected)


def test_batch_that_cannot_be_shared_is_refused(settings: Settings, parts: Parts) -> None:
    with pytest.raises(ValueError, match="3 workers cannot have equal shares of a batch of 8"):
        Trainer(settings, *parts, Simulated(index=0, count=3))


def test_worker_with_other_photos_is_refused(settings: Settings, parts: Parts) -> None:
    class Other(Simulated):
        def from_chief(self, content: bytes) -> bytes:
            return bytes(len(content))

    with pytest.raises(ValueError, match="Worker 1 has other settings or photos"):
        Trainer(settings, *parts, Other(index=1, count=2))


@pytest.mark.parametrize("text", ["", " ", "{}", '{"cluster": {}}'])
def test_no_cluster_is_one_worker(text: str) -> None:
    assert from_configuration(text) == Workers()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:2"]}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
    ],
)
def test_wrong_configuration_is_refused_in_one_sentence(
    text: str,
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert fit.main(words(dataset_folder, tmp_path)) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("TF_CONFIG must be like") and "\n" not in error


def main(path: str, dies: str, *command: str) -> int:
    trainers = []

    class Mortal(Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            trainers.append(self)

        def batches(self, epoch: int) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
            for step, batch in enumerate(super().batches(epoch)):
                if dies == "1" and (epoch, step) == (1, 3):
                    os.kill(os.getpid(), signal.SIGKILL)
                yield batch

    fit.Trainer = Mortal
    quicken(pytest.MonkeyPatch())
    code = fit.main(command)
    if code == 0:
        np.savez(path, *(variable.numpy() for variable in trainers[0]._state()))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
