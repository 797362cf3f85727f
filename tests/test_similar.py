"""Similar cases: the index, its search, its figures, thumbnails, and its place in the classifier and on the page."""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from skinapp.figures import evaluation
from skinapp.lesions import CODES
from skinapp.network.case_index import FILE, THUMBNAIL_SIDE, Case, Index, link, nearest, thumbnail
from skinapp.network.classifier import Classifier, load, views
from skinapp.network.configuration import Configuration, ModelError
from skinapp.network.folders import MODELS, default_model
from skinapp.page.similar import cases_html
from skinapp.photo.preprocess import to_pixels
from skinapp.reading import read, read_photo
from tests.conftest import tiny_configuration
from tests.drawings import draw_lesion, write_dataset
from train.dataset import FIRST_SOURCE, Dataset, DatasetError, Record, load_dataset, split_lesions
from train.network.export import write_model
from train.similar import (
    FIGURES,
    LARGEST,
    Embedded,
    Recipe,
    choose,
    main,
    make_index,
    measure,
    precisions,
    read_similar,
    try_recipes,
    write_similar,
)

RECIPES = [Recipe(4, whiten, unit) for whiten in (False, True) for unit in (False, True)]


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> object:
    """Fifty bootstrap samples: enough for the code, not for figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "RESAMPLES", 50)
        patch.delenv("SKINAPP_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def indexed(model_folder: Path, dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder after the command; not to be changed."""
    folder = tmp_path_factory.mktemp("indexed") / "tiny"
    shutil.copytree(model_folder, folder)
    assert main(["--data", str(dataset_folder), "--model", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(indexed: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(indexed, tmp_path / "model"))


@pytest.fixture(scope="module")
def parts(dataset_folder: Path) -> dict[str, Dataset]:
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, 94, "bicubic"))
    split = split_lesions(dataset.records)
    return {part: dataset.part(split, part) for part in ("train", "tune", "report")}


def records(labels: np.ndarray, prefix: str) -> tuple[Record, ...]:
    return tuple(
        Record(f"ISIC_{i:07d}", f"{prefix}{i}", CODES[label], Path("nowhere"), "histo")
        for i, label in enumerate(labels)
    )


def clouds(number: int, apart: float, seed: int, prefix: str) -> Embedded:
    """Embeddings of 9 features: a cloud a class, its centre `apart` standard deviations along its own axis."""
    labels = np.arange(number) % len(CODES)
    noise = np.random.default_rng(seed).normal(0, 1, (number, 9))
    return Embedded(
        records(labels, prefix), (noise + apart * np.eye(len(CODES), 9)[labels]).astype(np.float32)
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_search_equals_brute_force(recipe: Recipe) -> None:
    train, asked = clouds(300, 3, 0, "t"), clouds(40, 3, 1, "q").values
    index = replace(make_index(train, recipe, "w"), scale=0.5)
    points = (asked - index.mean) @ index.projection.astype(np.float32)
    if recipe.unit:
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.linalg.norm(points[:, None] - index.rows.astype(np.float32)[None], axis=2)
    distances, numbers = index.nearest(asked, 8)
    assert distances.shape == numbers.shape == (40, 8)
    np.testing.assert_array_equal(numbers, np.argsort(apart, axis=1, kind="stable")[:, :8])
    np.testing.assert_allclose(distances, 2 * np.sort(apart, axis=1)[:, :8], rtol=1e-5)


def test_projection_keeps_distances_where_nothing_is_left_out() -> None:
    train = clouds(50, 2, 0, "t")
    index = make_index(train, Recipe(9, whiten=False, unit=False), "w")
    expected = np.linalg.norm(train.values[:, None] - train.values[None], axis=2)
    found = np.linalg.norm(index.rows.astype(float)[:, None] - index.rows.astype(float)[None], axis=2)
    np.testing.assert_allclose(found, expected, atol=0.02)  # half precision
    whitened = make_index(train, Recipe(9, whiten=True, unit=False), "w").rows.astype(float)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(9), atol=0.02)
    unit = make_index(train, Recipe(9, whiten=False, unit=True), "w").rows.astype(float)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=2e-3)


def test_an_index_comes_back_from_its_file_without_pickles(tmp_path: Path) -> None:
    index = make_index(clouds(30, 1, 0, "t"), RECIPES[3], "0" * 64)
    index.write(tmp_path)
    again = Index.read(tmp_path)
    for name in index.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
    assert again.unit is True and again.rows.dtype == again.projection.dtype == np.float16


def test_fewer_cases_than_asked_for_are_all_of_them() -> None:
    index = make_index(clouds(5, 1, 0, "t"), Recipe(2, False, False), "w")
    distances, numbers = index.nearest(clouds(1, 1, 1, "q").values, 8)
    assert sorted(numbers[0]) == list(range(5)) and distances.shape == (1, 5)


def test_precision_is_one_for_classes_apart_and_the_prior_for_noise() -> None:
    recipe = Recipe(9, whiten=False, unit=False)
    for apart, expected, within in ((30, 1.0, 0.0), (0, 1 / 7, 0.03)):
        index = make_index(clouds(700, apart, 0, "t"), recipe, "w")
        rows = {row.what: row for row in measure(index, "tune", clouds(280, apart, 1, "q"))}
        assert list(rows) == ["all", "macro", *CODES]
        assert rows["all"].precision == pytest.approx(expected, abs=within)
        assert rows["macro"].prior == pytest.approx(1 / 7) == rows["nv"].prior
        assert (rows["all"].photos, rows["mel"].photos, rows["mel"].lesions) == (280, 40, 40)
        assert all(row.low <= row.precision <= row.high for row in rows.values())


def test_precision_counts_the_cases_with_the_photo_s_own_dx() -> None:
    """One feature: six cases of one class close to the photo, two of another, the rest far away."""
    place = np.array([1, 2, 3, 4, 5, 6, -7, -8, 90, 91, 92, 93], np.float32)
    labels = np.array([4, 4, 4, 4, 4, 4, 5, 5, 4, 4, 4, 5])
    index = make_index(Embedded(records(labels, "t"), place[:, None]), Recipe(1, False, False), "w")
    asked = Embedded(records(np.array([4, 5, 0]), "q"), np.zeros((3, 1), np.float32))
    np.testing.assert_array_equal(precisions(index, asked), [6 / 8, 2 / 8, 0])
    rows = {row.what: row for row in measure(index, "report", asked)}
    assert list(rows) == ["all", "macro", "akiec", "mel", "nv"], "classes that do not occur have no row"
    assert rows["mel"].prior == 9 / 12 and rows["nv"].prior == 3 / 12 and rows["akiec"].prior == 0


def test_the_recipe_is_the_best_on_tune_and_the_smaller_of_equals() -> None:
    small, large = Recipe(16, False, True), Recipe(64, True, False)
    assert choose({large: 0.5, small: 0.5}) == small
    assert choose({small: 0.5, large: 0.51}) == large
    train, tune = clouds(140, 2, 0, "t"), clouds(70, 2, 1, "q")
    tried = try_recipes(train, tune, "w")
    assert {recipe.dimensions for recipe in tried} == {9}, "there are only nine features"
    for recipe, value in tried.items():
        rows = {row.what: row for row in measure(make_index(train, recipe, "w"), "tune", tune)}
        assert rows["macro"].precision == pytest.approx(value)


def test_the_command_writes_a_complete_folder(
    indexed: Path, model_folder: Path, parts: dict[str, Dataset]
) -> None:
    before, after = Configuration.read(model_folder), Configuration.read(indexed)
    assert replace(after, sha256=before.sha256) == before
    assert after.sha256.keys() - before.sha256.keys() == {FILE}
    index = load(indexed).similar
    assert index is not None and index.weights == after.sha256["weights.npz"]
    train = parts["train"].records
    assert index.image_ids.tolist() == [record.image_id for record in train]
    assert [CODES[dx] for dx in index.dx] == [record.dx for record in train]
    assert set(index.dx_types.tolist()) == {"histo"}


def test_no_lesion_finds_itself_in_the_figures(indexed: Path, parts: dict[str, Dataset]) -> None:
    classifier = load(indexed)
    index = classifier.similar
    assert index is not None
    kept = set(index.image_ids.tolist())
    for part in ("tune", "report"):
        assert not kept & {record.image_id for record in parts[part].records}
        shares, distances = [], []
        for record, embedding in zip(
            parts[part].records, classifier.embeddings(parts[part].pictures), strict=True
        ):
            found, numbers = index.nearest(embedding[None])
            shares.append(np.mean([CODES[index.dx[number]] == record.dx for number in numbers[0]]))
            distances.append(found[0, 0])
        rows = {row.what: row for row in read_similar(indexed) if row.part == part}
        assert rows["all"].photos == len(shares)
        assert rows["all"].precision == pytest.approx(np.mean(shares), abs=1e-4)
        if part == "tune":
            assert np.median(distances) == pytest.approx(1, rel=1e-3), "the scale of distances"


def test_a_lesion_on_two_sides_is_refused(folder: Path) -> None:
    train, tune, report = (clouds(21, 1, seed, prefix) for seed, prefix in enumerate("tqr"))
    before = (folder / FILE).read_bytes()
    shared = Embedded((replace(tune.records[0], lesion_id="t0"), *tune.records[1:]), tune.values)
    with pytest.raises(DatasetError, match="two parts"):
        write_similar(folder, {"train": train, "tune": shared, "report": report})
    assert (folder / FILE).read_bytes() == before


def test_the_embedding_is_what_feeds_the_logits_averaged_over_the_views(model_folder: Path) -> None:
    classifier, photo = load(model_folder), draw_lesion("bkl", 3)
    pictures = np.stack([to_pixels(photo, 94, "bicubic"), to_pixels(draw_lesion("nv"), 94, "bicubic")])
    pool = keras.Model(classifier.network.inputs, classifier.network.get_layer("pool").output)
    by_hand = np.asarray(pool(views(tf.constant(pictures[:1], tf.float32), 8), training=False)).mean(0)
    embedding = classifier(photo).embedding
    assert embedding is not None and embedding.dtype == np.float32 and embedding.shape == (8,)
    np.testing.assert_allclose(embedding, by_hand, rtol=1e-4)
    np.testing.assert_allclose(classifier.embeddings(pictures)[0], by_hand, rtol=1e-4)
    head = classifier.network.get_layer("logits")
    logits = classifier.embeddings(pictures) @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(logits, classifier.logits(pictures), atol=1e-4)


def test_the_embedding_costs_no_second_pass(indexed: Path) -> None:
    classifier, passes = Classifier(indexed), []
    forward = classifier.forward
    classifier.forward = lambda batch: passes.append(batch) or forward(batch)
    reading = read_photo(draw_lesion("mel"), classifier)
    assert len(nearest(reading)) == 8
    assert len(passes) == 1


def test_a_network_without_a_dense_layer_has_no_embedding(
    tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = keras.Input((94, 94, 3))
    x = keras.layers.Conv2D(7, 9, 9, name="map")(inputs)
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    write_model(tmp_path, network, tiny_configuration("map"))
    classifier = Classifier(tmp_path)
    assert classifier(draw_lesion("nv")).embedding is None
    assert classifier.logits(np.zeros((2, 94, 94, 3), np.uint8)).shape == (2, 7)
    assert main(["--data", str(dataset_folder), "--model", str(tmp_path)]) == 1
    assert "no embedding" in capsys.readouterr().err


@pytest.mark.parametrize("turned", [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90])
def test_a_planted_neighbour_is_found_first(
    indexed: Path, parts: dict[str, Dataset], tmp_path: Path, turned: Image.Transpose | None
) -> None:
    """A training photo, as it is or turned, is nearest to itself: the views are averaged."""
    record = parts["train"].records[17]
    path = record.path
    if turned is not None:
        path = tmp_path / "turned.png"
        Image.open(record.path).transpose(turned).save(path)
    cases = nearest(read(path, load(indexed)))
    assert len(cases) == 8
    assert cases[0].image_id == record.image_id and cases[0].dx == record.dx
    assert cases[0].distance < 0.2 < cases[-1].distance
    assert [case.distance for case in cases] == sorted(case.distance for case in cases)
    assert len({case.image_id for case in cases}) == 8
    assert cases[0].dx_type == "histo"
    assert cases[0].link == f"https://api.isic-archive.com/images/{record.image_id}/"
    assert nearest(read(path, load(indexed)), 3) == cases[:3]


def test_without_an_index_there_are_no_cases(model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    draw_lesion("df").save(path)
    assert nearest(read(path, load(model_folder))) == ()
    assert "no index" in cases_html(())


@pytest.mark.parametrize(
    "image_id", ["ISIC_1", "ISIC_00243060", "isic_0024306", "lesion 1", 'x" onclick="', ""]
)
def test_only_ids_of_the_archive_have_a_link(image_id: str) -> None:
    assert link(image_id) == ""


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / FILE).write_bytes(data)


def rewrite(**changed: np.ndarray) -> Callable[[Path], None]:
    """Other arrays, and a skinapp.json that was written for them."""

    def spoil(folder: Path) -> None:
        with np.load(folder / FILE) as arrays:
            np.savez(folder / FILE, **{name: arrays[name] for name in arrays.files} | changed)
        configuration = Configuration.read(folder)
        sha256 = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
        replace(configuration, sha256=configuration.sha256 | {FILE: sha256}).write(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flip_a_byte, "sha256 differs"),
        (lambda folder: (folder / FILE).unlink(), "missing"),
        (rewrite(weights=np.array("0" * 64)), "other weights"),
        (rewrite(rows=np.zeros((3, 2), np.float16)), "fit together"),
        (rewrite(dx=np.full(70, 7, np.int8)), "fit together"),
        (rewrite(image_ids=np.array([{"a": "pickle"}] * 70, dtype=object)), "no index"),
    ],
)
def test_a_spoilt_index_is_refused_in_one_sentence(
    folder: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=says) as refusal:
        Classifier(folder)
    assert "\n" not in str(refusal.value)


def test_training_anew_drops_the_index(folder: Path) -> None:
    """The old index stays in the folder and is not taken for the new network's."""
    network = Classifier(folder).network
    write_model(folder, network, Configuration.read(folder))
    assert (folder / FILE).exists()
    assert Classifier(folder).similar is None


@pytest.mark.parametrize("layout", ["flat", "publisher", "own"])
def test_thumbnails_come_from_the_local_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    rows = write_dataset(tmp_path / "data", 1, layout)
    assert thumbnail(rows[0]["image_id"]) is None, "no copy is named"
    monkeypatch.setenv("SKINAPP_DATA", str(tmp_path / "data"))
    for row in rows:
        picture = thumbnail(row["image_id"])
        assert picture is not None and picture.mode == "RGB"
        assert picture.width == picture.height == min(112, THUMBNAIL_SIDE)
    assert thumbnail("ISIC_9999999") is None
    monkeypatch.setenv("SKINAPP_DATA", str(tmp_path / "nowhere"))
    assert thumbnail(rows[0]["image_id"]) is None


def test_no_id_reaches_outside_the_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    rows = write_dataset(data, {"nv": 1})
    (data / "masks").mkdir()
    for place in (tmp_path / "secret.jpg", data / "secret.jpg", data / "masks" / "secret.jpg"):
        draw_lesion("mel", size=(100, 100)).save(place)
    (data / "images" / "linked.jpg").symlink_to(tmp_path / "secret.jpg")
    (data / "images" / "device.jpg").symlink_to("/dev/zero")
    (data / "images" / "damaged.jpg").write_bytes(b"\xff\xd8 cut short")
    monkeypatch.setenv("SKINAPP_DATA", str(data))
    assert thumbnail(rows[0]["image_id"]) is not None
    for image_id in (
        "../secret", "../masks/secret", "..\\secret", str(tmp_path / "secret"), "secret.jpg", "./../../secret",
        "images/../secret", "linked", "device", "damaged", "", ".", "..", "secret\0", "ISIC_0000000\n", "a" * 300,
        f"../images/{rows[0]['image_id']}",
    ):  # fmt: skip
        assert thumbnail(image_id) is None, image_id


def test_cards_work_with_and_without_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write_dataset(tmp_path / "data", {"mel": 4})
    cases = [Case(row["image_id"], "mel", "follow_up", 0.5, link(row["image_id"])) for row in rows]
    cases += [Case("<b>own", "nv", "", 1.234, "")]
    bare = cases_html(cases)
    assert bare.count("<li>") == len(cases) == 7
    assert "<img" not in bare
    assert "Melanoma" in bare and "malignant, by follow-up" in bare and "distance 1.23" in bare
    assert bare.count('rel="noopener noreferrer"') == 6
    assert "<b>" not in bare and "&lt;b&gt;own" in bare
    monkeypatch.setenv("SKINAPP_DATA", str(tmp_path / "data"))
    shown = cases_html(cases)
    assert shown.count('<img src="data:image/jpeg;base64,') == 6 == shown.count('alt="Case ')
    assert str(tmp_path) not in shown


SHIPPED = sorted(
    path.parent for path in MODELS.glob("*/skinapp.json") if FILE in json.loads(path.read_text())["sha256"]
)


def test_the_default_model_offers_cases() -> None:
    assert default_model() in SHIPPED


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_index_holds_train_lesions_alone(folder: Path) -> None:
    assert (folder / FILE).stat().st_size < LARGEST
    index = Index.read(folder)
    assert index.weights == Configuration.read(folder).sha256["weights.npz"]
    with (MODELS / "split.csv").open(newline="") as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    assert set(index.image_ids.tolist()) == {
        name for name, row in rows.items() if (row["part"], row["source"]) == ("train", FIRST_SOURCE)
    }
    assert [rows[name]["dx"] for name in index.image_ids] == [CODES[dx] for dx in index.dx]
    assert set(index.dx_types.tolist()) <= {"histo", "follow_up", "consensus", "confocal"}
    assert all(re.fullmatch(r"ISIC_\d{7}", name) for name in index.image_ids.tolist())


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_figures_are_in_the_metrics(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    rows = read_similar(folder)
    assert metrics["similar"] == [asdict(row) for row in rows]
    assert len(rows) == 2 * (2 + len(CODES))
    for row in rows:
        assert 0 <= row.low <= row.precision <= row.high <= 1
    assert all(row.precision > row.prior for row in rows if row.what in ("all", "macro"))


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    assert read_similar(tmp_path) == ()
    (tmp_path / FIGURES).write_text("what,share\nnv,1\n")
    with pytest.raises(ValueError, match="columns"):
        read_similar(tmp_path)


def test_a_data_set_without_validation_lesions_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "few", {"nv": 1, "mel": 1})
    assert main(["--data", str(tmp_path / "few"), "--model", str(folder)]) == 1
    assert "tune" in capsys.readouterr().err
