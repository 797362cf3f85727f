"""Real training steps on drawn lesions, sampling, checkpoints, and the command that writes a model folder."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from skinapp.figures import evaluation
from skinapp.lesions import CODES
from skinapp.network import known_answer
from skinapp.network.classifier import Classifier, load
from skinapp.network.configuration import Configuration
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import open_photo, to_pixels
from tests.drawings import read_split, write_dataset
from train import dermatoscopic
from train.dataset import Dataset, DatasetError, load_dataset, split_lesions
from train.fit import CHECKPOINT, main, parser, settings_from, train, uncalibrated
from train.network.architectures import CnnSettings, EfficientNetLiteSettings
from train.network.augment import Augmentation, degraded
from train.network.export import write_model
from train.network.trainer import Epoch, Settings, Trainer, at_size, reduced
from train.probabilities import calibrate
from train.validation import read_validation

SETTINGS = Settings(
    network=CnnSettings(filters=(4, 8), dropout=0.3),
    size=32,
    intermediate=48,
    epochs=2,
    batch=8,
    rate=0.01,
    warmup=0.5,
    averaging=0.9,
)


@pytest.fixture(scope="module")
def parts(dataset_folder: Path) -> tuple[Dataset, Dataset]:
    """Training lesions at the intermediate size, tune lesions at the network's."""
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, SETTINGS.intermediate, "bicubic"))
    split = split_lesions(dataset.records)
    return dataset.part(split, "train"), at_size(dataset.part(split, "tune"), SETTINGS)


def uneven(dataset: Dataset, kept: dict[str, int]) -> Dataset:
    """Only so many photos of the classes named."""
    seen: Counter[str] = Counter()
    chosen = []
    for i, record in enumerate(dataset.records):
        seen[record.dx] += 1
        if seen[record.dx] <= kept.get(record.dx, 1000):
            chosen.append(i)
    return Dataset(tuple(dataset.records[i] for i in chosen), dataset.pictures[chosen])


def state(trainer: Trainer) -> list[np.ndarray]:
    """Every number that training has changed."""
    variables = [*trainer.network.variables, *trainer.averaged.variables, *trainer.optimizer.variables]
    return [np.array(variable) for variable in variables] + trainer.best


def test_network_has_as_many_parameters_as_its_layers(parts: tuple[Dataset, Dataset]) -> None:
    trainer = Trainer(SETTINGS, *parts)
    convolutions = 9 * (3 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    assert trainer.network.count_params() == convolutions + 4 * (4 + 4 + 8 + 8) + 8 * 7 + 7


def test_step_changes_every_trainable_weight_and_lowers_the_loss(parts: tuple[Dataset, Dataset]) -> None:
    trainer = Trainer(replace(SETTINGS, warmup=0.0, epochs=20), *parts)
    before = [np.array(v) for v in trainer.network.trainable_variables]
    images, labels, sources = next(iter(trainer.batches(0)))
    losses = [float(trainer.step(images, labels, sources)) for _ in range(25)]
    after = [np.array(v) for v in trainer.network.trainable_variables]
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert np.mean(losses[-5:]) < 0.85 * losses[0]


def test_averaged_network_follows_the_trained_one_slowly(parts: tuple[Dataset, Dataset]) -> None:
    trainer = Trainer(SETTINGS, *parts)
    start = trainer.network.get_weights()
    images, labels, sources = next(iter(trainer.batches(0)))
    trainer.step(images, labels, sources)
    decay = min(SETTINGS.averaging, 2 / 11)
    end = zip(trainer.network.get_weights(), trainer.averaged.get_weights(), strict=True)
    for old, (new, average) in zip(start, end, strict=True):
        np.testing.assert_allclose(average, decay * old + (1 - decay) * new, atol=1e-5)


def test_batches_are_network_inputs_and_soft_labels(parts: tuple[Dataset, Dataset]) -> None:
    batches = list(Trainer(SETTINGS, *parts).batches(0))
    assert len(batches) == len(parts[0].records) // 8
    for images, labels, sources in batches:
        assert images.shape == (8, 32, 32, 3) and labels.shape == (8, 7) and not np.any(sources)


def of_two_sources(training: Dataset) -> Dataset:
    """Nevi and melanomas of a second source beside all classes of the first, and one lesion of it with many photos."""
    second = [
        replace(r, source="second", lesion_id=f"second-{r.lesion_id}")
        for r in training.records
        if r.dx in ("nv", "mel")
    ]
    many = next(r for r in second if r.dx == "nv")
    records = (*training.records, *second, *[replace(many, image_id=f"again-{i}") for i in range(20)])
    return Dataset(records, training.pictures[np.arange(len(records)) % len(training.pictures)])


def test_each_source_is_drawn_and_corrected_for_its_own_classes(parts: tuple[Dataset, Dataset]) -> None:
    training = of_two_sources(parts[0])
    trainer = Trainer(replace(SETTINGS, floor=0.0), training, parts[1])
    lacking = [code not in ("nv", "mel") for code in CODES]
    assert trainer.sources == ("", "second") and not trainer.drawn[1][lacking].any()
    np.testing.assert_allclose(trainer.drawn.sum(1), 1)
    images, labels, sources = next(iter(trainer.batches(0)))
    labels = np.asarray(labels)
    assert not labels[np.asarray(sources) == 1][:, lacking].any()  # neither by smoothing nor by mixing
    logits = np.asarray(trainer.network(images, training=True))
    shifted = np.exp(logits) * trainer.drawn[np.asarray(sources)]
    shown = shifted / shifted.sum(1, keepdims=True)
    expected = -np.mean(np.sum(np.where(labels > 0, labels * np.log(np.maximum(shown, 1e-30)), 0), axis=1))
    trainer_loss = float(trainer._loss_and_gradients(images, tf.constant(labels), sources)[0])
    assert trainer_loss == pytest.approx(expected, rel=0.2) and np.isfinite(
        trainer_loss
    )  # dropout draws other units


def test_a_lesion_of_many_photos_weighs_like_one_of_two(parts: tuple[Dataset, Dataset]) -> None:
    training = of_two_sources(parts[0])
    trainer = Trainer(SETTINGS, training, parts[1])
    chosen = [training.records[i] for epoch in range(4) for i in trainer._order(epoch).ravel()]
    nevi = Counter(r.lesion_id for r in chosen if r.source == "second" and r.dx == "nv")
    assert max(nevi.values()) <= 3 * min(nevi.values())


def test_photos_are_reduced_and_compressed_where_they_are_sharp(parts: tuple[Dataset, Dataset]) -> None:
    reducible, pictures = reduced(parts[0])
    assert reducible.all() and pictures.shape == parts[0].pictures.shape

    assert np.asarray(pictures).dtype == np.uint8
    assert np.abs(np.asarray(pictures).astype(float).mean() - parts[0].pictures.mean()) < 3
    small = Dataset(tuple(replace(r, path=Path("none")) for r in parts[0].records), parts[0].pictures)
    assert not reduced(small)[0].any()


def test_pictures_depend_on_seed_epoch_and_step_alone(parts: tuple[Dataset, Dataset]) -> None:
    training = parts[0]  # one photo over and over, so that only augmentation can tell epochs and steps apart
    training = Dataset(training.records, np.repeat(training.pictures[:1], len(training.records), axis=0))

    def pictures(seed: int, epoch: int) -> list[bytes]:
        trainer = Trainer(replace(SETTINGS, seed=seed), training, parts[1])
        return [images.numpy().tobytes() for images, *_ in trainer.batches(epoch)]

    first = pictures(1, 0)
    assert first == pictures(1, 0)
    assert len({*first, *pictures(1, 1), *pictures(2, 0)}) == 3 * len(first)


@pytest.mark.parametrize("sampling", [0.0, 0.5, 1.0])
def test_classes_are_drawn_in_their_shares(sampling: float, parts: tuple[Dataset, Dataset]) -> None:
    training = uneven(parts[0], {"df": 2, "vasc": 4, "mel": 6})
    trainer = Trainer(replace(SETTINGS, sampling=sampling), training, parts[1])
    counts = np.bincount(training.labels, minlength=7)
    shares = counts**sampling / np.sum(counts**sampling)
    total = trainer.steps * SETTINGS.batch
    drawn = np.bincount(training.labels[trainer._order(0).ravel()], minlength=7)
    assert np.abs(drawn - shares * total).max() <= 1


def test_each_class_goes_through_its_images_in_turn(parts: tuple[Dataset, Dataset]) -> None:
    training = uneven(parts[0], {"df": 2, "vasc": 4})
    trainer = Trainer(replace(SETTINGS, sampling=0.0), training, parts[1])
    orders = [trainer._order(epoch).ravel() for epoch in range(2)]
    assert not np.array_equal(orders[0], orders[1])
    times = np.bincount(orders[0], minlength=len(training.labels))
    for index in range(7):
        assert np.ptp(times[training.labels == index]) <= 1


def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    whole = Trainer(SETTINGS, *parts)
    whole.run_epoch()
    whole.save(tmp_path / CHECKPOINT)
    resumed = Trainer(SETTINGS, *parts)
    assert resumed.restore(tmp_path / CHECKPOINT)
    train(whole, tmp_path)
    train(resumed, tmp_path)
    for expected, found in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(found, expected)
    timeless = [[replace(e, images_per_second=0, seconds=0) for e in t.history] for t in (whole, resumed)]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 2
    assert not (tmp_path / "checkpoint.part.npz").exists()


@pytest.mark.parametrize(
    "other",
    [{"batch": 4}, {"augmentation": Augmentation(mixed=0.1)}, {"seed": 2}],
    ids=lambda other: next(iter(other)),
)
def test_checkpoint_of_other_settings_is_refused(
    other: dict[str, Any], parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    Trainer(SETTINGS, *parts).save(tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="written with other settings"):
        Trainer(replace(SETTINGS, **other), *parts).restore(tmp_path / CHECKPOINT)


def test_finished_network_presumes_the_training_lesions_class_mix(parts: tuple[Dataset, Dataset]) -> None:
    training = uneven(parts[0], {"df": 2, "vasc": 4})
    trainer = Trainer(replace(SETTINGS, sampling=0.0), training, parts[1])
    trainer.run_epoch()
    plain = trainer.logits(parts[1])
    trainer.averaged.set_weights([weight * 0 for weight in trainer.best])  # it must go back to the best
    shifted = trainer.finished_network()(parts[1].pictures.astype(np.float32), training=False)
    prior = np.bincount(training.labels, minlength=7) / len(training.labels)
    np.testing.assert_allclose(shifted - plain, np.tile(np.log(prior), (len(plain), 1)), atol=1e-4)


def past(*losses: float) -> list[Epoch]:
    return [Epoch(i + 1, 1.0, 0.5, 0.5, 0.5, loss, 100.0, 1.0) for i, loss in enumerate(losses)]


@pytest.mark.parametrize("losses, epochs_left", [((0.1, 0.2, 0.2), 0), ((0.2, 0.1, 0.2), 1)])
def test_run_stops_when_patience_ends(
    losses: tuple[float, ...],
    epochs_left: int,
    parts: tuple[Dataset, Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = Trainer(replace(SETTINGS, epochs=9, patience=2), *parts)
    trainer.history = past(*losses)

    def run_epoch() -> Epoch:
        trainer.history = [*trainer.history, *past(0.3)]  # no better than any before
        return trainer.history[-1]

    monkeypatch.setattr(trainer, "run_epoch", run_epoch)
    train(trainer, tmp_path)
    assert len(trainer.history) == 3 + epochs_left


def test_weights_of_the_best_epoch_are_kept(parts: tuple[Dataset, Dataset]) -> None:
    trainer = Trainer(SETTINGS, *parts)
    untrained = trainer.best
    trainer.history = past(-0.1)  # an epoch that none can surpass
    trainer.run_epoch()
    assert all(map(np.array_equal, trainer.best, untrained))
    trainer.history = past(100.0)
    trainer.run_epoch()
    assert all(map(np.array_equal, trainer.best, trainer.averaged.get_weights()))
    assert not all(map(np.array_equal, trainer.best, untrained))


def test_training_size_is_that_of_the_trained_network_alone(parts: tuple[Dataset, Dataset]) -> None:
    trainer = Trainer(replace(SETTINGS, training_size=24), *parts)
    assert all(images.shape == (8, 24, 24, 3) for images, *_ in trainer.batches(0))
    assert trainer.network.input_shape == (None, 24, 24, 3)
    trainer.run_epoch()
    assert parts[1].pictures.shape[1:] == trainer.averaged.input_shape[1:] == (32, 32, 3)
    assert trainer.logits(parts[1]).shape == (len(parts[1].labels), 7)
    assert trainer.finished_network().input_shape == (None, 32, 32, 3)


def test_enlargement_inside_the_network_shrinks_with_the_training_size(
    parts: tuple[Dataset, Dataset],
) -> None:
    enlarging = EfficientNetLiteSettings(enlarge_to=128, imagenet=False)
    trainer = Trainer(replace(SETTINGS, network=enlarging, training_size=24), *parts)
    assert trainer.network.get_layer("enlarge").output.shape[1:3] == (96, 96)
    assert trainer.averaged.get_layer("enlarge").output.shape[1:3] == (128, 128)
    for trained, averaged in zip(trainer.network.get_weights(), trainer.averaged.get_weights(), strict=True):
        np.testing.assert_array_equal(trained, averaged)


def test_run_starts_from_a_model_s_weights_with_its_head_shifted_back(
    parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    training = uneven(parts[0], {"df": 2, "vasc": 4})
    first = Trainer(replace(SETTINGS, seed=9), training, parts[1])
    first.run_epoch()
    write_model(tmp_path, first.finished_network(), uncalibrated(first, ""))
    model = Classifier(tmp_path)
    plain = model.network(parts[1].pictures.astype(np.float32), training=False)
    counts = np.bincount(training.labels, minlength=7)
    for sampling in (0.0, 0.5):
        settings = replace(SETTINGS, start=str(tmp_path), sampling=sampling, training_size=24)
        trainer = Trainer(settings, training, parts[1])
        for found in (trainer.network, trainer.averaged):
            for variable, expected in zip(found.weights, model.network.weights, strict=True):
                if variable.path != "logits/bias":
                    np.testing.assert_array_equal(variable, expected)
        # Softmax of the trained logits presumes equally frequent classes, softmax of the model's the mix of the lesions.
        shift = np.log(counts / counts.sum())
        np.testing.assert_allclose(trainer.logits(parts[1]), plain - shift, atol=1e-4)
        finished = trainer.finished_network()(parts[1].pictures.astype(np.float32), training=False)
        np.testing.assert_allclose(finished, plain, atol=1e-4)


def test_missing_class_is_named(parts: tuple[Dataset, Dataset]) -> None:
    with pytest.raises(DatasetError, match="labelled df, vasc:"):
        Trainer(SETTINGS, uneven(parts[0], {"df": 0, "vasc": 0}), parts[1])


def test_command_line_without_options_is_the_shipped_settings() -> None:
    assert settings_from(parser().parse_args(["--data", "x"])) == Settings()


def test_command_line_sets_every_group() -> None:
    words = ["--data", "x", "--network", "cnn", "--filters", "8", "16", "--kernel-size", "5", "3"]
    words += ["--activation", "elu", "--rate", "0.01", "--mixed", "0.1", "--seed", "4"]
    assert settings_from(parser().parse_args(words)) == Settings(
        network=CnnSettings(filters=(8, 16), kernel_size=(5, 3), activation="elu"),
        augmentation=Augmentation(mixed=0.1),
        rate=0.01,
        seed=4,
    )


def test_command_line_switch() -> None:
    options = parser().parse_args(["--data", "x", "--no-imagenet", "--drop-path", "0"])
    assert settings_from(options).network == EfficientNetLiteSettings(imagenet=False, drop_path=0.0)


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Figures by fewer samples than would say anything: a thousand for each of several tables take long."""
    patch.setattr(evaluation, "RESAMPLES", 10)
    patch.setattr(calibrate, "SIMULATIONS", 20)
    patch.setattr(dermatoscopic, "DRAWN", 2)
    patch.setattr(dermatoscopic, "CROPS", 2)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


def command(data: Path, out: Path, *more: str) -> int:
    words = [
        "--network=cnn",
        "--filters",
        "4",
        "8",
        "--epochs=1",
        "--batch=8",
        "--intermediate=100",
        "--training-size=64",
        "--views=2",
    ]
    return main(["--data", str(data), "--out", str(out), *words, *more])


@pytest.fixture(scope="module")
def trained(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as the command leaves it."""
    out = tmp_path_factory.mktemp("runs") / "new" / "cnn"
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        assert command(dataset_folder, out) == 0
    return out


def test_command_leaves_a_complete_model_folder(trained: Path) -> None:
    written = {path.name for path in trained.iterdir()}
    assert {"skinapp.json", "network.json", "weights.npz"} <= written
    assert {"split.csv", "history.csv", "validation.csv", "metrics.json"} <= written
    assert {"dermatoscopic.npz", "dermatoscopic.csv", "reliability.png"} <= written
    with (trained / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    assert "NaN" not in (trained / "metrics.json").read_text()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"sets", "operating_points", "groups", "mistakes", "cross_fitted"} <= metrics.keys()


def test_classifier_loads_what_the_command_wrote(trained: Path) -> None:
    classifier = Classifier(trained)
    known_answer.check(classifier)
    answers = [classifier(draw_lesion(code, 50, (150, 112))).probabilities for code in CODES]
    np.testing.assert_allclose(np.sum(answers, axis=1), 1)
    assert np.ptp(answers, axis=0).max() > 1e-4


def test_configuration_says_how_the_weights_came_about(trained: Path, dataset_folder: Path) -> None:
    found = Configuration.read(trained)
    assert found.network == "cnn" and found.settings["network"]["filters"] == [4, 8]
    assert found.input_size == 94 and found.settings["training_size"] == 64
    assert found.command.startswith(f"python -m train.fit --data {dataset_folder} ")
    assert {"python", "tensorflow", "keras", "numpy", "pillow"} <= found.versions.keys()
    split = read_split(trained / "split.csv")
    with (dataset_folder / "HAM10000_metadata.csv").open(newline="") as file:
        labels = [row["dx"] for row in csv.DictReader(file) if split[row["lesion_id"]] == "train"]
    np.testing.assert_allclose(found.prior, [labels.count(code) / len(labels) for code in CODES], atol=1e-6)
    assert json.loads((trained / "skinapp.json").read_text())["settings"]["epochs"] == 1


def test_validation_logits_are_those_of_the_held_out_lesions(trained: Path, dataset_folder: Path) -> None:
    validation, split = read_validation(trained), read_split(trained / "split.csv")
    assert set(validation.lesion_ids) == {lesion for lesion, part in split.items() if part != "train"}
    assert [split[lesion] for lesion in validation.lesion_ids] == validation.parts.tolist()
    classifier = Classifier(trained)
    for known, logits in list(zip(validation.photos, validation.logits, strict=True))[::5]:
        shown = classifier(open_photo(dataset_folder / "images" / f"{known.image_id}.jpg")).probabilities
        np.testing.assert_allclose(classifier.configuration.probabilities(logits), shown, atol=1e-4)


def test_command_resumes_and_refuses_other_settings(
    trained: Path,
    dataset_folder: Path,
    tmp_path: Path,
    few_resamples: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = Path(shutil.copytree(trained, tmp_path / "again"))
    (again / "weights.npz").unlink()
    assert command(dataset_folder, again, "--resume") == 0
    assert "resumed after epoch 1" in capsys.readouterr().out
    with np.load(trained / "weights.npz") as before, np.load(again / "weights.npz") as after:
        assert all(np.array_equal(before[name], after[name]) for name in before.files)
    assert command(dataset_folder, again, "--resume", "--rate", "0.5") == 1
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "lesions, said",
    [
        ({code: 9 for code in CODES if code != "df"}, "No training lesion is labelled df"),
        (dict.fromkeys(CODES, 1), "No lesion is left for validation"),
        (dict.fromkeys(CODES, 2), "No lesion is left for validation"),  # for report
    ],
    ids=["a class is missing", "no tune lesion", "no report lesion"],
)
def test_data_set_that_is_too_small_is_explained(
    lesions: dict[str, int], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "data", lesions)
    assert command(tmp_path / "data", tmp_path / "out") == 1
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error and "array" not in error


def test_output_folder_that_is_a_file_is_named(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert command(dataset_folder, tmp_path / "taken") == 1
    assert "taken" in capsys.readouterr().err


@pytest.mark.usefixtures("few_resamples")
def test_three_lesions_a_class_are_enough_and_of_two_some_figures_stay_open(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", dict.fromkeys(CODES, 3) | {"mel": 2})  # one to train, one to tune
    assert command(tmp_path / "data", tmp_path / "out") == 0
    Classifier(tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["per_class"]["mel"]["recall"] is None


def test_a_run_is_not_overwritten_unasked(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"days of work")
    assert command(dataset_folder, tmp_path) == 1
    assert "add --resume" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.npz").read_bytes() == b"days of work"
    assert command(dataset_folder, tmp_path, "--resume") == 1  # it is no checkpoint
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, said",
    [
        (["--network", "efficientnet-lite"], "has no filters"),
        (["--filters", "512", "1024"], "use fewer filters"),
        (["--batch", "0"], "at least one picture"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_training(
    more: list[str], said: str, dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(dataset_folder, tmp_path / "out", *more) == 1
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error
    assert not (tmp_path / "out" / "history.csv").exists()


@pytest.mark.parametrize(
    "more, said",
    [
        (["--filters", "4", "8", "8"], "another network"),
        (["--filters", "4", "16"], "another network"),
        (["--kernel-size", "5"], "another network"),
    ],
    ids=["a stage more", "more filters", "larger kernels"],
)
def test_start_from_another_network_is_refused_in_one_sentence(
    more: list[str],
    said: str,
    trained: Path,
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(dataset_folder, tmp_path / "out", "--start", str(trained), *more) == 1
    error = capsys.readouterr().err.strip()
    assert said in error and str(trained) in error and "\n" not in error
    assert not (tmp_path / "out" / "history.csv").exists()


def test_start_from_nowhere_is_refused_in_one_sentence(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(dataset_folder, tmp_path / "out", "--start", str(tmp_path / "nowhere")) == 1
    error = capsys.readouterr().err.strip()
    assert "nowhere is no model folder" in error and "\n" not in error


@pytest.mark.parametrize("more", [["--views", "3"], ["--resampling", "nearest"], ["--variant", "1"]])
def test_unknown_choices_are_refused(more: list[str], dataset_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command(dataset_folder, tmp_path / "out", *more)


def test_teachers_speak_of_the_very_pictures_that_are_shown(
    parts: tuple[Dataset, Dataset], model_folder: Path
) -> None:
    settings = replace(SETTINGS, teachers=(str(model_folder),), teachers_size=48, taught=0.75)
    trainer = Trainer(settings, *parts)
    images, labels, sources = next(iter(trainer.batches(0)))
    assert images.shape[1:] == (48, 48, 3)
    mixed = trainer._taught(images, labels, sources)
    teacher = Classifier(model_folder)
    logits = np.asarray(trainer.teachers[0].network(images, training=False))
    drawn = np.exp(logits) / np.asarray(teacher.configuration.prior) * trainer.drawn[0]
    expected = drawn / drawn.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixed, 0.25 * np.asarray(labels) + 0.75 * expected, atol=1e-5)
    before = [layer.get_weights() for layer in trainer.teachers[0].network.layers]
    trainer.run_epoch()
    after = [layer.get_weights() for layer in trainer.teachers[0].network.layers]
    for old, new in zip(before, after, strict=True):
        for once, again in zip(old, new, strict=True):
            np.testing.assert_array_equal(once, again)


def test_a_teacher_for_smaller_pictures_sees_them_in_its_own_proportion(
    parts: tuple[Dataset, Dataset], model_folder: Path
) -> None:
    settings = replace(SETTINGS, size=188, training_size=48, teachers=(str(model_folder),))
    trainer = Trainer(settings, *parts)
    assert trainer.teachers[0].size == 24 and trainer.drawn_size == 48
    assert next(iter(trainer.batches(0)))[0].shape[1:] == (48, 48, 3)


def test_pictures_are_damaged_for_the_one_that_learns_alone_and_before_they_are_reduced(
    parts: tuple[Dataset, Dataset], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = replace(SETTINGS.augmentation, noise=30.0)
    settings = replace(SETTINGS, teachers=(str(model_folder),), teachers_size=48, augmentation=noise)
    trainer = Trainer(settings, *parts)
    told, learned = [], []
    teach, learn = trainer._taught, trainer._loss_and_gradients
    monkeypatch.setattr(trainer, "_taught", lambda *batch: (told.append(batch[0]), teach(*batch))[1])
    monkeypatch.setattr(
        trainer, "_loss_and_gradients", lambda *batch: (learned.append(batch[0]), learn(*batch))[1]
    )
    images, labels, sources = next(iter(trainer.batches(0)))
    for step in range(2):
        trainer._step(images, labels, sources)
        np.testing.assert_array_equal(told[step], images)
        harmed = degraded(images, noise, tf.stack([settings.seed, step]))
        reduced = tf.clip_by_value(
            tf.image.resize(harmed, [32, 32], method="bicubic", antialias=True), 0, 255
        )
        np.testing.assert_array_equal(learned[step], reduced)
    damage = np.abs(learned[0] - learned[1]).mean(axis=(1, 2, 3))
    assert damage.max() > 3, "every step does the same damage"
    assert damage.min() < damage.max() / 2, "every picture has the same"


def test_frozen_blocks_are_another_model_s_and_stay_so(
    parts: tuple[Dataset, Dataset], model_folder: Path
) -> None:
    lite = EfficientNetLiteSettings(enlarge_to=32, imagenet=False, frozen=2)
    trainer = Trainer(replace(SETTINGS, network=lite, frozen_from="model/fast"), *parts)
    given = load(Path("model/fast")).network
    trainer._step(*next(iter(trainer.batches(0))))  # a whole epoch would take half a minute to trace
    trainer._average_statistics()
    for name, still in [("conv_stem", True), ("blocks_1_bn1", True), ("blocks_2_expand_conv", False)]:
        ours, theirs = (network.get_layer(name).get_weights() for network in (trainer.network, given))
        assert all(map(np.array_equal, ours, theirs)) is still, name
    with pytest.raises(ValueError, match="has no layer"):
        trainer._freeze_as(load(model_folder))
