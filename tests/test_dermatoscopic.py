"""Telling dermatoscopic photos from others: the Gaussian, its fit, its place in the classifier."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train.dermatoscopic
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.network.configuration import Configuration, ModelError
from skinapp.network.dermatoscopic import FILE, Gaussian
from skinapp.network.folders import MODELS, default_model
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import open_photo, to_pixels
from tests.drawings import write_dataset
from train.data.decoys import DECOYS, draw_decoy
from train.dataset import FIRST_SOURCE, Dataset, load_dataset, split_lesions
from train.dermatoscopic import (
    FIGURES,
    Passing,
    fit_dermatoscopic,
    fit_gaussian,
    keeping,
    main,
    middle_layer,
    photographs,
    pooler,
    read_dermatoscopic,
    with_rim,
)
from train.network.architectures import CnnSettings, EfficientNetLiteSettings, cnn, efficientnet_lite

IMAGES = MODELS.parent.parent / "shared" / "data" / "ham10000" / "images"


@pytest.fixture(scope="module", autouse=True)
def few_drawings() -> object:
    """Two of everything that the command draws: enough for the code, not for figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.dermatoscopic, "DRAWN", 2)
        patch.setattr(train.dermatoscopic, "CROPS", 2)
        yield


@pytest.fixture(scope="module")
def fitted(model_folder: Path, dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder after the command; not to be changed."""
    folder = tmp_path_factory.mktemp("fitted") / "tiny"
    shutil.copytree(model_folder, folder)
    assert main(["--data", str(dataset_folder), "--model", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(fitted: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(fitted, tmp_path / "model"))


@pytest.fixture(scope="module")
def parts(dataset_folder: Path) -> dict[str, Dataset]:
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, 94, "bicubic"))
    split = split_lesions(dataset.records)
    return {part: dataset.part(split, part) for part in ("train", "tune", "report")}


def lesions(seeds: range) -> np.ndarray:
    """Drawn as those of the data set, but others."""
    drawn = [draw_lesion(code, seed, (150, 112)) for code in CODES for seed in seeds]
    return np.stack([to_pixels(photo, 94, "bicubic") for photo in drawn])


def decoys(kind: str, number: int, size: int = 94) -> np.ndarray:
    return np.stack([to_pixels(draw_decoy(kind, seed), size, "bicubic") for seed in range(number)])


def correlated(number: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(3, 1, (number, 5)) @ (np.eye(5) + random.uniform(-0.3, 0.3, (5, 5)))


def test_scores_are_the_mahalanobis_distance_by_hand() -> None:
    features = correlated(20000)
    gaussian = fit_gaussian(features)
    away = features[:50] - features.mean(0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(features.T)), away) / 5)
    np.testing.assert_allclose(gaussian.scores(features[:50]), expected, rtol=0.02)
    assert np.mean(gaussian.scores(features) ** 2) == pytest.approx(1, rel=0.02)
    assert gaussian.scores(features.mean(0)[None])[0] == pytest.approx(0, abs=1e-6)


def test_scores_do_not_depend_on_the_scale_of_the_features() -> None:
    features, scale = correlated(300), np.array([1e-3, 1, 10, 1, 1e4])
    stretched = fit_gaussian(features * scale + 7)
    np.testing.assert_allclose(
        stretched.scores(features * scale + 7), fit_gaussian(features).scores(features)
    )


def test_few_photos_and_a_dead_channel_still_give_finite_scores() -> None:
    features = np.concatenate([correlated(4), np.zeros((4, 1))], axis=1)
    assert np.isfinite(fit_gaussian(features).scores(correlated(9)[:, [0, 1, 2, 3, 4, 0]])).all()


def test_a_gaussian_comes_back_from_its_file(tmp_path: Path) -> None:
    features = correlated(500)
    gaussian = fit_gaussian(features)
    gaussian.write(tmp_path)
    again = Gaussian.read(tmp_path)
    assert again.mean.dtype == again.whitening.dtype == np.float32
    np.testing.assert_allclose(again.scores(features), gaussian.scores(features), rtol=1e-4)


@pytest.mark.parametrize("number", [7, 50, 826])
def test_the_threshold_is_the_smallest_that_keeps_98_percent(number: int) -> None:
    scores = np.random.default_rng(1).gamma(9, 0.1, number)
    threshold = keeping(scores)
    assert np.mean(scores <= threshold) >= 0.98
    assert np.mean(scores <= threshold - 1e-4) < 0.98
    assert threshold == round(threshold, 4)


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        ((32, 64, 128, 256), "stage_2_conv1"),
        ((32, 64, 512, 512), "stage_2_pool"),  # later ones are too wide
    ],
)
def test_the_middle_layer_of_the_plain_cnn(filters: tuple[int, ...], name: str) -> None:
    assert middle_layer(cnn(CnnSettings(filters), 94)[0]) == name


@pytest.mark.parametrize("variant, name", [(0, "blocks_8_project_conv"), (2, "blocks_10_add")])
def test_the_middle_layer_lies_behind_the_shortcut(variant: int, name: str) -> None:
    settings = EfficientNetLiteSettings(variant=variant, imagenet=False)
    assert middle_layer(efficientnet_lite(settings, 94)[0]) == name


def test_a_rim_darkens_the_corners_alone() -> None:
    photo = np.full((94, 94, 3), 200, np.uint8)
    for seed in range(5):
        rimmed = with_rim(photo, np.random.default_rng(seed))
        assert rimmed.dtype == np.uint8
        np.testing.assert_array_equal(rimmed[25:69, 25:69], photo[25:69, 25:69])
        assert rimmed[0, 0].max() < 200
        assert (rimmed <= photo).all()


def test_the_command_writes_a_complete_folder(fitted: Path, model_folder: Path) -> None:
    before, after = Configuration.read(model_folder), Configuration.read(fitted)
    assert after.dermatoscopic_layer == middle_layer(load(model_folder).network)
    assert after.dermatoscopic_threshold > 0
    assert set(after.sha256) == {*before.sha256, FILE}
    unchanged = {"dermatoscopic_layer": "", "dermatoscopic_threshold": 0.0, "withheld_threshold": 0.0}
    assert replace(after, **unchanged, sha256=before.sha256) == before
    assert (fitted / FILE).stat().st_size < 300_000
    rows = {row.what: row for row in read_dermatoscopic(fitted)}
    assert rows["tune lesions"].kept >= 0.98
    assert {"report lesions", *DECOYS, *(f"{code}, left out of the fit" for code in CODES)} <= rows.keys()
    assert rows["noise"] == Passing("noise", 2, 0.0, 1.0, rows["noise"].median)
    assert all(0 <= row.kept <= 1 and row.photos > 0 for row in rows.values())


def test_the_table_is_that_of_the_written_score(fitted: Path, parts: dict[str, Dataset]) -> None:
    rows = {row.what: row for row in read_dermatoscopic(fitted)}
    classifier = load(fitted)
    threshold = classifier.configuration.dermatoscopic_threshold
    for part in ("tune", "report"):
        _, scores = classifier.outputs(parts[part].pictures)
        row = rows[f"{part} lesions"]
        assert row.photos == len(scores)
        assert row.kept == pytest.approx(np.mean(scores <= threshold), abs=1e-3)
        assert row.median == pytest.approx(np.median(scores), abs=1e-3)


def test_lesions_pass_and_other_things_do_not(fitted: Path) -> None:
    classifier = load(fitted)
    threshold = classifier.configuration.dermatoscopic_threshold
    assert np.mean(classifier.outputs(lesions(range(20, 23)))[1] <= threshold) > 0.7
    for kind in ("noise", "pages and screens, drawn"):
        assert np.mean(classifier.outputs(decoys(kind, 6))[1] <= threshold) < 0.2, kind


def test_the_score_is_that_of_the_upright_photo_alone_or_among_others(fitted: Path) -> None:
    classifier = load(fitted)
    photos = [draw_lesion(code, seed, (150, 112)) for code in CODES for seed in range(3)]
    pictures = np.stack([to_pixels(photo, 94, "bicubic") for photo in photos])
    logits, together = classifier.outputs(pictures)
    np.testing.assert_array_equal(logits, classifier.logits(pictures))
    np.testing.assert_allclose(
        [classifier(photo).dermatoscopic_score for photo in photos], together, rtol=1e-4
    )
    pool = pooler(classifier.network, classifier.configuration.dermatoscopic_layer)
    assert classifier.gaussian is not None
    np.testing.assert_allclose(classifier.gaussian.scores(pool(pictures)), together, rtol=1e-4)
    turned = classifier(photos[0].transpose(Image.Transpose.ROTATE_90)).dermatoscopic_score
    assert turned != pytest.approx(together[0], rel=1e-3)


def test_fitting_leaves_the_probabilities_alone(fitted: Path, model_folder: Path) -> None:
    photo = draw_lesion("mel")
    plain = load(model_folder)
    assert plain(photo).dermatoscopic_score is None
    assert np.isnan(plain.outputs(lesions(range(1)))[1]).all()
    np.testing.assert_allclose(load(fitted)(photo).probabilities, plain(photo).probabilities, atol=1e-6)


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / FILE).write_bytes(data)


def name_layer(layer: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        replace(Configuration.read(folder), dermatoscopic_layer=layer).write(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flip_a_byte, "sha256 differs"),
        (lambda folder: (folder / FILE).unlink(), "missing"),
        (name_layer("nowhere"), "dermatoscopic layer"),
        (name_layer("pool"), "no map"),
        (name_layer("stage_0_conv1"), "does not belong"),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_sentence(
    folder: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=says) as refusal:
        Classifier(folder)
    assert "\n" not in str(refusal.value)


def test_tune_lesions_have_their_say_and_report_lesions_none(folder: Path, parts: dict[str, Dataset]) -> None:
    fit_dermatoscopic(folder, **parts)
    first = Configuration.read(folder)
    inverted = {part: Dataset(d.records, 255 - d.pictures) for part, d in parts.items()}
    fit_dermatoscopic(folder, parts["train"], parts["tune"], inverted["report"])
    assert asdict(Configuration.read(folder)) == asdict(first)
    fit_dermatoscopic(folder, parts["train"], inverted["tune"], parts["report"])
    inverted_tune = Configuration.read(
        folder
    )  # their distances are the unit of the score, so the threshold stays 1
    assert inverted_tune.sha256["dermatoscopic.npz"] != first.sha256["dermatoscopic.npz"]
    scores = Classifier(folder).gaussian.scores(
        pooler(Classifier(folder).network, inverted_tune.dermatoscopic_layer)(parts["report"].pictures)
    )
    assert scores.max() < 0.9


def test_another_layer_by_name(folder: Path, dataset_folder: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--data", str(dataset_folder), "--model", str(folder), "--layer"]
    assert main([*arguments, "stage_0_conv2_activation"]) == 0
    assert "report lesions" in capsys.readouterr().out
    assert Classifier(folder)(draw_lesion("nv")).dermatoscopic_score is not None
    before = (folder / "skinapp.json").read_bytes()
    for wrong in ("nowhere", "logits"):
        assert main([*arguments, wrong]) == 1
        assert wrong in capsys.readouterr().err
    assert (folder / "skinapp.json").read_bytes() == before


def test_a_data_set_without_validation_lesions_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_dataset(tmp_path / "few", {"nv": 1, "mel": 1})
    assert main(["--data", str(tmp_path / "few"), "--model", str(folder)]) == 1
    assert "tune" in capsys.readouterr().err


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    assert read_dermatoscopic(tmp_path) == ()
    with (tmp_path / FIGURES).open("w", newline="") as file:
        csv.writer(file).writerows([["what", "share"], ["noise", 0]])
    with pytest.raises(ValueError, match="columns"):
        read_dermatoscopic(tmp_path)


SHIPPED = sorted(
    path.parent
    for path in MODELS.glob("*/skinapp.json")
    if json.loads(path.read_text())["dermatoscopic_layer"]
)


def test_the_default_model_tells() -> None:
    assert default_model() in SHIPPED


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda folder: folder.name)
def shipped(request: pytest.FixtureRequest) -> Classifier:
    return Classifier(request.param)


@pytest.fixture(scope="module")
def score(shipped: Classifier) -> Callable[[list[Image.Image]], np.ndarray]:
    """Scores as shares of the threshold, by the upright view alone."""
    configuration = shipped.configuration
    pool = pooler(shipped.network, configuration.dermatoscopic_layer)

    def score(photos: list[Image.Image]) -> np.ndarray:
        pictures = [to_pixels(photo, configuration.input_size, configuration.resampling) for photo in photos]
        assert shipped.gaussian is not None
        return shipped.gaussian.scores(pool(np.stack(pictures))) / configuration.dermatoscopic_threshold

    return score


def test_the_layer_is_the_middle_one(shipped: Classifier) -> None:
    assert shipped.configuration.dermatoscopic_layer == middle_layer(shipped.network)


@pytest.mark.parametrize("kind", DECOYS)
def test_the_shipped_model_refuses_what_is_drawn(
    score: Callable[[list[Image.Image]], np.ndarray], kind: str
) -> None:
    assert np.mean(score([draw_decoy(kind, seed) for seed in range(6)]) > 1) > 0.99


def test_the_shipped_model_refuses_photographs(score: Callable[[list[Image.Image]], np.ndarray]) -> None:
    scores = score(list(photographs(np.random.default_rng(9))))
    assert np.mean(scores > 1) > 0.99
    assert np.median(scores) > 1.2


@pytest.mark.skipif(not IMAGES.is_dir(), reason="needs HAM10000 in ../shared/data/ham10000")
def test_the_shipped_model_lets_lesions_pass(score: Callable[[list[Image.Image]], np.ndarray]) -> None:
    with (MODELS / "split.csv").open(newline="") as file:
        ids = [
            row["image_id"]
            for row in csv.DictReader(file)
            if (row["part"], row["source"]) == ("report", FIRST_SOURCE)
        ][::9]
    scores = score([open_photo(IMAGES / f"{image_id}.jpg") for image_id in ids])
    assert np.mean(scores <= 1) > 0.93
