"""Maps whose figures are known beforehand, the sanity check on like and unlike networks, the rule, and the command."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw

from skinapp.network.classifier import Classifier, load
from skinapp.network.configuration import Configuration
from skinapp.network.folders import default_model
from skinapp.network.saliency import METHODS, SaliencyMap
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import centre_square, to_pixels
from tests.drawings import write_dataset, write_labels
from train import maps as module
from train import margins
from train.dataset import Dataset, DatasetError, load_dataset
from train.documents import figures
from train.maps import (
    CHANCE,
    GAUSSIAN,
    MapRow,
    Outlined,
    Score,
    candidate_layers,
    choose,
    correlation,
    gaussian,
    insertion_deletion,
    inside,
    load_outlined,
    main,
    pointing,
    read_maps,
    sanity,
    score,
    stratified,
    weights_from,
    with_map_layer,
    write_maps,
)


def disc(size: int, centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.25) -> np.ndarray:
    """A drawn outline: bool (size, size)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.hypot(x - centre[0], y - centre[1]) < radius


def test_a_map_that_is_the_mask_lies_inside() -> None:
    mask = disc(64)
    assert inside(mask.astype(np.float32), mask) == pointing(mask.astype(np.float32), mask) == 1.0
    assert inside((~mask).astype(np.float32), mask) == pointing((~mask).astype(np.float32), mask) == 0.0


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_map_that_points_nowhere_gets_the_lesion_s_share(level: float) -> None:
    mask = disc(64)
    flat = np.full((64, 64), level)
    assert inside(flat, mask) == pytest.approx(mask.mean()) == pytest.approx(pointing(flat, mask))


def test_the_peak_alone_decides_the_pointing_game() -> None:
    mask = disc(64, (0.25, 0.25), 0.2)
    values = np.zeros((64, 64))
    values[40:, 40:] = 0.9
    values[16, 16] = 1.0
    assert pointing(values, mask) == 1.0
    assert inside(values, mask) < 0.01


def test_the_blob_finds_a_lesion_in_the_middle_only() -> None:
    blob = gaussian(128)
    middle, corner = disc(128), disc(128, (0.15, 0.15), 0.15)
    assert pointing(blob, middle) == 1.0 and pointing(blob, corner) == 0.0
    # Two-dimensional normal distribution: 1 - exp(-r^2 / 2 sigma^2) lies within r, cut off by the square's edges.
    assert inside(blob, middle) == pytest.approx((1 - np.exp(-0.5)) / 0.9545**2, abs=0.01)


def seen_share(mask: np.ndarray):
    """A network whose probability is the share of the lesion's pixels that are as in the photo, white."""
    return lambda pictures: (pictures[:, mask] == 255).all(-1).mean(-1)


def areas(curves: np.ndarray) -> tuple[float, float]:
    measures = Score(0, 0, curves).measures
    return measures["insertion"], measures["deletion"]


@pytest.mark.parametrize("radius", [0.15, 0.3])
def test_perfect_and_reversed_order_have_known_areas(radius: float) -> None:
    mask = disc(94, radius=radius)
    picture = np.where(mask[..., None], 255, 0).repeat(3, -1).astype(np.float32)
    best, ties = mask.astype(np.float32), np.zeros((94, 94))
    share = float(mask.mean())
    insertion, deletion = areas(insertion_deletion(picture, best, ties, seen_share(mask)))
    # The curve rises in a straight line until the lesion is complete; a sixteenth is as fine as the steps are. Blurring
    # leaves the middle of a large lesion white, so insertion starts above 0.
    assert insertion > 1 - share / 2 - 1 / 32
    assert deletion == pytest.approx(share / 2, abs=1 / 32)
    insertion, deletion = areas(insertion_deletion(picture, 1 - best, ties, seen_share(mask)))
    assert deletion == pytest.approx(1 - share / 2, abs=1 / 32)
    assert insertion < 0.45


def test_equal_pixels_go_by_the_ties() -> None:
    mask = disc(94)
    picture = np.where(mask[..., None], 255, 0).repeat(3, -1).astype(np.float32)
    nothing, order = np.zeros((94, 94)), mask.astype(float)
    by_ties = insertion_deletion(picture, nothing, order, seen_share(mask))
    np.testing.assert_array_equal(by_ties, insertion_deletion(picture, order, nothing, seen_share(mask)))


def test_the_curves_start_and_end_with_the_photo() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (94, 94, 3)).astype(np.float32)
    shown: list[np.ndarray] = []

    def probability(pictures: np.ndarray) -> np.ndarray:
        shown.append(pictures)
        return np.zeros(len(pictures))

    insertion_deletion(picture, random.random((94, 94)), np.zeros((94, 94)), probability)
    (pictures,) = shown
    inserted, deleted = pictures[: len(pictures) // 2], pictures[len(pictures) // 2 :]
    np.testing.assert_array_equal(inserted[-1], picture)
    np.testing.assert_array_equal(deleted[0], picture)
    assert inserted[0].std() < picture.std() / 4
    np.testing.assert_allclose(deleted[-1], np.broadcast_to(picture.mean((0, 1)), picture.shape), rtol=1e-5)
    kept = (inserted == picture).all(-1).mean((1, 2))
    np.testing.assert_allclose(kept, np.linspace(0, 1, len(kept)), atol=0.01)


def test_a_coarse_map_is_enlarged_to_the_mask() -> None:
    values = np.zeros((8, 8))
    values[2:6, 2:6] = 1
    mask = np.zeros((256, 256), bool)
    mask[64:192, 64:192] = True
    found = score(
        values, Outlined(Image.new("RGB", (94, 94)), mask), np.zeros((94, 94)), lambda p: np.ones(len(p))
    )
    assert found.inside > 0.85  # smoothly enlarged, it reaches a little over the edge
    assert (found.pointing, *areas(found.curves)) == (1, 1, 1)


def test_correlation_is_spearman_s() -> None:
    values = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    first = SaliencyMap("mel", values, True)
    assert correlation(first, SaliencyMap("mel", values**3, True)) == pytest.approx(1)
    assert correlation(first, SaliencyMap("mel", 1 - values, True)) == pytest.approx(-1)
    assert correlation(first, SaliencyMap("mel", np.zeros((8, 8), np.float32), False)) == 0


def test_like_networks_correlate_and_unlike_ones_less(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    before = classifier.folded.get_weights()
    layer = classifier.configuration.map_layer
    methods = [("gradcam", layer), ("scorecam", layer), ("smoothgrad", layer)]
    photos = [draw_lesion("mel")]
    same = sanity({layer: classifier}, methods, photos, lambda number: classifier.folded)
    assert set(same) == set(methods)
    np.testing.assert_allclose(list(same.values()), 1, atol=1e-6)
    assert classifier.folded.layers[-1] is classifier.folded.get_layer("logits")
    keras.utils.set_random_seed(0)
    drawn = sanity(
        {layer: classifier}, methods, photos, lambda n: keras.models.clone_model(classifier.folded)
    )
    assert drawn["gradcam", layer][1] < 0.9 and drawn["smoothgrad", layer][2] < 0.9
    for old, new in zip(before, classifier.folded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_are_borrowed_only_for_a_while(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    other, head = keras.models.clone_model(classifier.network), classifier.network.layers[-1]
    own = head.kernel.numpy()
    with weights_from(other, head.weights):
        np.testing.assert_array_equal(head.kernel, other.layers[-1].kernel)
    np.testing.assert_array_equal(head.kernel, own)


def test_layers_are_coarse_and_everything_passes_them(model_folder: Path) -> None:
    tiny = load(model_folder)
    assert candidate_layers(tiny.network, tiny.configuration.map_layer) == [
        "stage_1_conv2_activation",
        "stage_1_conv1_activation",
        "stage_0_conv2_activation",
        "stage_0_conv1_activation",
    ]
    shipped = load(default_model())
    found = candidate_layers(shipped.network, shipped.configuration.map_layer)
    assert found[0] == shipped.configuration.map_layer and len(found) == 4
    sizes = [shipped.network.get_layer(name).output.shape[1] for name in found]
    assert min(sizes) >= 6 and len(set(sizes)) == 2
    for name in found:
        keras.Model(shipped.network.get_layer(name).output, shipped.network.outputs)


def test_another_map_layer_gives_other_features(model_folder: Path) -> None:
    photo = draw_lesion("mel")
    own, other = load(model_folder), with_map_layer(model_folder, "stage_0_conv2_activation")
    assert own(photo).features.shape == (1, 47, 47, 8)
    assert other(photo).features.shape == (1, 94, 94, 4)
    np.testing.assert_allclose(own(photo).probabilities, other(photo).probabilities, atol=1e-6)
    assert Configuration.read(model_folder).map_layer == own.configuration.map_layer


ROW = MapRow("gradcam", "a", "tune", 9, 0.5, 0.5, 0.5, 0.5, 20.0, 0.4, 0.1, 0.1)


def test_the_best_mean_rank_wins() -> None:
    better = replace(ROW, method="layercam", inside=0.6, deletion=0.4)
    assert choose([ROW, better], 100) == better
    mixed = replace(ROW, layer="b", inside=0.9, pointing=0.4, insertion=0.4)
    assert choose([mixed, ROW, better], 100) == better


def test_equal_ranks_go_to_the_faster() -> None:
    faster = replace(ROW, layer="b", milliseconds=10.0)
    assert choose([ROW, faster], 100) == choose([faster, ROW], 100) == faster


@pytest.mark.parametrize(
    "unfit",
    [
        {"milliseconds": 250.0},
        {"sanity_head": 0.6},
        {"sanity_all": 0.6},
        {"sanity_all": None},
        {"part": "report"},
        {"method": GAUSSIAN},
    ],
)
def test_what_is_slow_insane_or_not_for_choosing_is_passed_over(unfit: dict) -> None:
    perfect = replace(ROW, layer="b", inside=1.0, pointing=1.0, insertion=1.0, deletion=0.0)
    assert choose([ROW, perfect], 100) == perfect
    assert choose([ROW, replace(perfect, **unfit)], 100) == ROW
    assert choose([replace(perfect, **unfit)], 100) is None


def test_logits_alone_do_not_decide_sanity() -> None:
    assert choose([replace(ROW, sanity_logits=0.9)], 100) is not None


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    baseline = MapRow(CHANCE, "", "report", 9, 0.25, 0.25, 0.5, 0.5)
    write_maps(tmp_path, [ROW, baseline])
    assert read_maps(tmp_path) == (ROW, baseline)
    with (tmp_path / "maps.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header[:9] == [
        "method", "layer", "part", "photos", "inside", "pointing", "insertion", "deletion", "milliseconds"
    ]  # fmt: skip


def test_photos_are_drawn_class_by_class_and_one_a_lesion(dataset_folder: Path) -> None:
    dataset = load_dataset(dataset_folder, lambda photo: np.zeros((1, 1, 3), np.uint8))
    rows = stratified(dataset, 14)
    chosen = [dataset.records[row] for row in rows]
    assert len({record.lesion_id for record in chosen}) == 14
    assert sorted(record.dx for record in chosen) == sorted(2 * [*{record.dx for record in dataset.records}])
    assert rows == stratified(dataset, 14)
    assert len(stratified(dataset, 1000)) == len({record.lesion_id for record in dataset.records}) == 63
    reversed_set = Dataset(dataset.records[::-1], dataset.pictures[::-1])
    assert len(stratified(reversed_set, 3)) == 3


@pytest.fixture
def outlined_folder(tmp_path: Path) -> Path:
    """A drawn data set of twelve lesions with drawn outlines; those of the third lesion's two images are empty."""
    folder = tmp_path / "data"
    rows = write_dataset(folder, {"mel": 4, "nv": 4, "bcc": 4})
    (folder / "masks").mkdir()
    for number, row in enumerate(rows):
        mask = Image.new("L", (150, 112))
        if number not in (3, 4):
            ImageDraw.Draw(mask).ellipse((45, 26, 105, 86), fill=255)
        mask.save(folder / "masks" / f"{row['image_id']}.png")
    return folder


@pytest.fixture
def seen_model(model_folder: Path, outlined_folder: Path, tmp_path: Path) -> Path:
    """The tiny model with a validation.csv: the first two lesions of each class are tune, the others report."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    with (outlined_folder / "HAM10000_metadata.csv").open(newline="") as file:
        rows = [
            row | {"part": "tune" if int(row["lesion_id"][-1]) < 2 else "report"}
            for row in csv.DictReader(file)
        ]
    write_labels(folder / "validation.csv", rows)
    return folder


def test_outlines_are_cut_like_the_photo(outlined_folder: Path, seen_model: Path) -> None:
    found, skipped = load_outlined(outlined_folder, seen_model, "tune", 100)
    assert len(found) + skipped == 6
    for one in found:
        assert one.photo.size == (94, 94)
        assert one.mask.shape == (112, 112)
        assert one.mask[56, 56] and not one.mask[0, 0]
        assert one.mask.mean() == pytest.approx(np.pi * 30**2 / 112**2, rel=0.05)
    photo = Image.open(outlined_folder / "images" / "ISIC_0000000.jpg")
    assert centre_square(photo).size == (112, 112)
    pictures = [np.asarray(one.photo) for one in load_outlined(outlined_folder, seen_model, "tune", 100)[0]]
    read = load_dataset(outlined_folder, lambda photo: to_pixels(photo, 94, "bicubic"))
    assert all((picture == read.pictures).all((1, 2, 3)).any() for picture in pictures)


def test_empty_outlines_are_left_out_and_counted(outlined_folder: Path, seen_model: Path) -> None:
    found, skipped = load_outlined(outlined_folder, seen_model, "tune", 100)
    assert (len(found), skipped) == (6, 0)
    found, skipped = load_outlined(outlined_folder, seen_model, "report", 100)
    assert (len(found), skipped) == (5, 1)


def test_a_missing_or_unfitting_outline_is_named(outlined_folder: Path, seen_model: Path) -> None:
    mask = outlined_folder / "masks" / "ISIC_0000002.png"
    Image.new("L", (256, 256), 255).save(mask)
    with pytest.raises(DatasetError, match="ISIC_0000002.png is not of its photo's size"):
        load_outlined(outlined_folder, seen_model, "tune", 100)
    mask.unlink()
    with pytest.raises(DatasetError, match="ISIC_0000002 has no masks"):
        load_outlined(outlined_folder, seen_model, "tune", 100)


def test_the_command_measures_and_chooses(
    outlined_folder: Path,
    seen_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "LAYERS", 1)
    monkeypatch.setattr(module, "SANITY_PHOTOS", 1)
    monkeypatch.setattr(module, "SLOWEST", 1e9)
    monkeypatch.setattr(module, "SAME", 1.1)
    before = Configuration.read(seen_model)
    arguments = ["--data", str(outlined_folder), "--model", str(seen_model), "--photos", "2"]
    assert main(arguments) == 0
    assert Configuration.read(seen_model) == before
    rows = read_maps(seen_model)
    assert [row.method for row in rows] == 2 * [
        "gradcam", "gradcam++", "layercam", "scorecam", "smoothgrad", GAUSSIAN, CHANCE
    ]  # fmt: skip
    assert [row.part for row in rows] == 7 * ["tune"] + 7 * ["report"]
    for row in rows:
        shares = (row.inside, row.pointing, row.insertion, row.deletion)
        assert row.photos == 2 and all(0 <= share <= 1 for share in shares)
        assert (row.milliseconds is None) == (row.sanity_all is None) == (row.method not in METHODS)
        assert (row.layer == before.map_layer) == (row.method in METHODS and row.method != "smoothgrad")
    chance, blob = rows[6], rows[5]
    assert chance.inside == pytest.approx(np.pi * 30**2 / 112**2, rel=0.05)
    assert blob.pointing == 1
    assert "2 photos, 0 left out" in capsys.readouterr().out

    monkeypatch.setattr(module, "METHODS", {"layercam": "LayerCAM"})
    monkeypatch.setattr(module, "SLOWEST", 1e-6)
    assert main([*arguments, "--choose"]) == 0
    assert "No method is fast enough" in capsys.readouterr().out
    assert Configuration.read(seen_model) == before
    monkeypatch.setattr(module, "SLOWEST", 1e9)

    monkeypatch.setattr(module, "METHODS", {"layercam": "LayerCAM"})
    assert main([*arguments, "--choose"]) == 0
    assert "By the rule: LayerCAM" in capsys.readouterr().out
    assert Configuration.read(seen_model) == replace(before, map_method="layercam")


def test_margins_are_paired_and_have_intervals() -> None:
    random = np.random.default_rng(0)
    hard = 0.5 * random.random((400, 1))  # what photos differ by concerns both maps alike

    def scored(gain: float) -> list[Score]:
        levels = hard + 0.1 * random.random((400, 4))
        curves = np.ones(module.STEPS + 1)  # flat: the area is the level
        return [Score(a + gain, b + gain / 2, np.outer([c, d], curves)) for a, b, c, d in levels]

    own, other = scored(0.2), scored(0.0)
    found = margins.margins("layercam", "relu", own, {"gradcam": other, GAUSSIAN: own})
    assert [row.measure for row in found[:4]] == ["inside", "pointing", "insertion", "deletion"]
    for row, gain in zip(found, (0.2, 0.1, 0.0, 0.0), strict=False):
        assert row.low < row.own - row.other < row.high
        assert row.own - row.other == pytest.approx(gain, abs=0.01)
        assert row.high - row.low == pytest.approx(2 * 1.96 * 0.1 * np.sqrt(2 / 12 / 400), rel=0.2)
    assert all(row.low == row.high == 0 and row.method == GAUSSIAN for row in found[4:])


def test_the_margins_command_measures_the_map_that_ships(outlined_folder: Path, seen_model: Path) -> None:
    configuration = Configuration.read(seen_model)
    replace(configuration, map_method="layercam").write(seen_model)
    assert margins.main(["--data", str(outlined_folder), "--model", str(seen_model), "--photos", "2"]) == 0
    found = margins.read_margins(seen_model)
    assert [row.method for row in found[::4]] == ["gradcam", "gradcam++", "scorecam", "smoothgrad", GAUSSIAN]
    assert {(row.shown, row.layer, row.photos) for row in found} == {("layercam", configuration.map_layer, 2)}
    blob = found[-4:]
    points = margins.read_curves(seen_model)
    figures.map_curves(points, "layercam", seen_model / "map_curves.png")
    assert Image.open(seen_model / "map_curves.png").size == (900, 360)
    assert len(points) == 6 * 2 * (module.STEPS + 1)
    last = {
        point.method: point.probability for point in points if point.curve == "insertion" and point.share == 1
    }
    first = {
        point.method: point.probability for point in points if point.curve == "deletion" and not point.share
    }
    assert last == first and len(set(last.values())) == 1  # the whole photo, whatever the order
    assert blob[1].other == 1 and blob[0].own == found[0].own != blob[0].other


def test_a_wrong_folder_is_named_in_one_line(
    seen_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path / "nowhere"), "--model", str(seen_model)]) == 1
    said = capsys.readouterr().err.strip()
    assert "nowhere" in said and "\n" not in said
