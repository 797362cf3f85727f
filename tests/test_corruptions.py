"""Corruptions damage as they say, at any size alike; which photos are measured; the table and the command."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinapp.figures.evaluation import headline
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import open_photo, to_pixels
from train.corruptions import (
    CONDITIONS,
    CORRUPTIONS,
    STRENGTHS,
    CorruptionFigures,
    corrupted,
    main,
    measure,
    read_corruptions,
    subset,
    write_corruptions,
)
from train.dataset import DatasetError, Record, read_records, split_lesions
from train.documents import figures

NAMES = (
    "pixelate", "jpeg_compression", "gaussian_noise", "speckle_noise", "impulse_noise", "shot_noise",
    "defocus_blur", "motion_blur", "zoom_blur", "brightness_up", "brightness_down", "contrast_up",
    "contrast_down", "black_corner", "characters",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawings() -> list[Image.Image]:
    return [draw_lesion(code, 3, (256, 256)) for code in ("akiec", "mel")]  # pale, dark


def apply(name: str, image: Image.Image, strength: int, seed: int = 5) -> Image.Image:
    return CORRUPTIONS[name](image, strength, np.random.default_rng(seed))


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_the_fifteen_corruptions_of_the_paper() -> None:
    assert tuple(CORRUPTIONS) == NAMES
    assert len(CONDITIONS) == 76 and CONDITIONS[0] == ("none", 0)


@pytest.mark.parametrize("size", [(64, 64), (150, 112), (90, 131)])
@pytest.mark.parametrize("name", NAMES)
def test_size_and_mode_stay(name: str, size: tuple[int, int]) -> None:
    image = draw_lesion("bkl", 0, size)
    before = image.tobytes()
    damaged = apply(name, image, 5)
    assert (damaged.size, damaged.mode) == (size, "RGB")
    assert damaged.tobytes() != before
    assert image.tobytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_damage_comes_from_the_generator_alone(name: str, drawings: list[Image.Image]) -> None:
    one, again, other = (apply(name, drawings[0], 3, seed).tobytes() for seed in (5, 5, 6))
    assert one == again
    by_chance = {"motion_blur", "black_corner", "characters"} | {n for n in NAMES if n.endswith("noise")}
    assert (one != other) == (name in by_chance)


@pytest.mark.parametrize("name", NAMES)
def test_damage_grows_with_strength_and_leaves_the_lesion(name: str, drawings: list[Image.Image]) -> None:
    damage, likeness = [], []
    for strength in STRENGTHS:
        damaged = [apply(name, image, strength) for image in drawings]
        damage.append(np.mean([difference(*pair) for pair in zip(drawings, damaged, strict=True)]))
        likeness.append(min(likeness_of(*pair) for pair in zip(drawings, damaged, strict=True)))
    assert damage[0] > 0.5
    assert all(weaker < stronger for weaker, stronger in itertools.pairwise(damage)), damage
    assert likeness[-1] > 0.6  # at a glance, the same dark patch in the same place


def likeness_of(clean: Image.Image, damaged: Image.Image) -> float:
    """Correlation of the two seen small and grey, in the middle of the picture, where the lesion is."""
    small = [np.asarray(image.convert("L").resize((32, 32)), float)[6:26, 6:26] for image in (clean, damaged)]
    return float(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1])


@pytest.fixture(scope="module")
def large_and_small() -> tuple[Image.Image, Image.Image]:
    large = draw_lesion("bkl", 1, (450, 450))
    return large, large.resize((256, 256), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", NAMES)
def test_large_and_small_pictures_are_damaged_alike(
    name: str, large_and_small: tuple[Image.Image, Image.Image]
) -> None:
    for strength in (2, 5):
        large, small = (
            difference(reduced(image), reduced(apply(name, image, strength))) for image in large_and_small
        )
        assert large == pytest.approx(small, rel=0.1), strength


def reduced(image: Image.Image) -> Image.Image:
    return Image.fromarray(to_pixels(image, 94, "bicubic"))


@pytest.mark.parametrize("strength", [0, 6])
def test_other_strengths_are_refused(strength: int, drawings: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="1 to 5"):
        apply("pixelate", drawings[0], strength)


def test_defocus_spreads_a_point_over_a_disc_and_keeps_its_light() -> None:
    point = Image.new("RGB", (101, 101))
    point.paste((250, 250, 250), (48, 48, 53, 53))
    blurred = np.asarray(CORRUPTIONS["defocus_blur"](point, 5, np.random.default_rng(0)), float)[..., 0]
    assert blurred.sum() == pytest.approx(25 * 250, rel=0.02)
    assert np.abs(blurred - blurred.T).max() <= 1 and np.abs(blurred - blurred[::-1]).max() <= 1
    assert 0 < blurred[50, 50] < 250 and blurred[50, 60] == 0


def test_motion_spreads_a_point_along_a_line() -> None:
    point = Image.new("RGB", (101, 101))
    point.paste((250, 250, 250), (49, 49, 52, 52))
    blurred = np.asarray(CORRUPTIONS["motion_blur"](point, 5, np.random.default_rng(0)), float)[..., 0]
    y, x = np.mgrid[:101, :101] - 50.0
    spread = np.linalg.eigvalsh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=blurred.ravel()))
    assert spread[1] > 10 * spread[0]


def test_noise_has_the_named_strength() -> None:
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    random = np.random.default_rng
    assert np.std(CORRUPTIONS["gaussian_noise"](grey, 2, random(0))) == pytest.approx(28, rel=0.02)
    assert np.std(CORRUPTIONS["speckle_noise"](grey, 2, random(0))) == pytest.approx(0.18 * 128, rel=0.02)
    photons = 128 / 255 * 35
    assert np.std(CORRUPTIONS["shot_noise"](grey, 2, random(0))) == pytest.approx(
        128 / photons**0.5, rel=0.02
    )
    salted = np.asarray(CORRUPTIONS["impulse_noise"](grey, 2, random(0)))
    assert (salted == 0).mean() == pytest.approx(0.035, rel=0.1)
    assert (salted == 255).mean() == pytest.approx(0.035, rel=0.1)


def record(number: int, lesion: int, dx: str) -> Record:
    return Record(f"ISIC_{number:07d}", f"HAM_{dx}{lesion}", dx, Path("nowhere.jpg"))


def test_subset_is_of_one_part_capped_and_the_same_in_any_order() -> None:
    records = [record(i, i // 2, "nv") for i in range(200)] + [record(500 + i, i, "df") for i in range(3)]
    split = {r.lesion_id: "tune" if i % 3 == 0 else "report" for i, r in enumerate(records)}
    chosen = subset(records, split)
    assert {split[r.lesion_id] for r in chosen} == {"report"}
    assert [r.dx for r in chosen].count("nv") == 40
    assert [r for r in chosen if r.dx == "df"] == [
        r for r in records if r.dx == "df" and split[r.lesion_id] == "report"
    ]
    assert list(chosen) == sorted(chosen, key=lambda r: r.image_id)
    assert subset(reversed(records), split) == chosen
    assert chosen != tuple(r for r in records if split[r.lesion_id] == "report")[: len(chosen)]  # drawn


def test_subset_prefers_a_photo_of_every_lesion() -> None:
    records = [record(i, i // 3, "mel") for i in range(30)]  # ten lesions of three photos
    split = {r.lesion_id: "report" for r in records}
    for number, most in ((7, 1), (10, 1), (13, 2), (20, 2), (25, 3)):
        lesions = [r.lesion_id for r in subset(records, split, photos_per_class=number)]
        assert len(lesions) == number and len(set(lesions)) == min(number, 10)
        assert max(map(lesions.count, lesions)) == most
    assert len(subset(records, split)) == 30
    assert subset(records, split, part="tune") == ()


def test_subset_of_one_class_does_not_depend_on_the_others() -> None:
    melanomas, naevi = [record(i, i, "mel") for i in range(60)], [record(100 + i, i, "nv") for i in range(60)]
    split = {r.lesion_id: "report" for r in melanomas + naevi}
    assert set(subset(melanomas, split)) == {r for r in subset(melanomas + naevi, split) if r.dx == "mel"}


@pytest.fixture(scope="module")
def report_records(dataset_folder: Path) -> tuple[Record, ...]:
    records = read_records(dataset_folder)
    return subset(records, split_lesions(records))


def test_measured_as_the_app_would_see_it(model_folder: Path, report_records: tuple[Record, ...]) -> None:
    classifier = load(model_folder)
    clean, dark = measure(classifier, report_records, [("none", 0), ("brightness_down", 5)])
    labels = np.array([CODES.index(r.dx) for r in report_records])
    for row, strength in ((clean, 0), (dark, 5)):
        shown = []
        for r in report_records:
            photo = open_photo(r.path)
            side = (150 - 112) // 2
            square = photo.crop((side, 0, side + 112, 112))
            damaged = corrupted(square, r.image_id, "brightness_down", 5) if strength else square
            shown.append(classifier(damaged).probabilities)
        expected = headline(labels, np.array(shown))
        for figure in ("accuracy", "balanced_accuracy", "macro_auc", "ece"):
            assert getattr(row, figure) == pytest.approx(expected[figure], abs=1e-4)
        assert row.mean_top_probability == pytest.approx(np.max(shown, axis=1).mean(), abs=1e-4)
        assert (row.strength, row.photos) == (strength, len(report_records))
    assert clean.mean_top_probability != dark.mean_top_probability


def test_each_photo_is_damaged_its_own_way(drawings: list[Image.Image]) -> None:
    one, again, other = (corrupted(drawings[0], name, "gaussian_noise", 2) for name in ("a", "a", "b"))
    assert one.tobytes() == again.tobytes() != other.tobytes()
    assert corrupted(drawings[0], "a", "none", 0) is drawings[0]


ROWS = (
    CorruptionFigures("none", 0, 12, 8, 0.75, 0.7123, 0.9, 0.0512, 0.8),
    CorruptionFigures("pixelate", 1, 12, 8, 0.5, 0.4, None, 0.1, 0.7),
    CorruptionFigures("pixelate", 2, 12, 8, 0.25, 0.3, 0.6, 0.2, 0.6),
)


def test_table_survives_the_disk(tmp_path: Path) -> None:
    write_corruptions(tmp_path, ROWS)
    assert read_corruptions(tmp_path) == ROWS
    lines = (tmp_path / "corruptions.csv").read_text().splitlines()
    assert lines[0].startswith(
        "corruption,strength,photos,views,accuracy,balanced_accuracy,macro_auc,ece,mean_top"
    )
    assert lines[2] == "pixelate,1,12,8,0.5000,0.4000,,0.1000,0.7000"


def test_no_table_is_empty_and_another_one_refused(tmp_path: Path) -> None:
    assert read_corruptions(tmp_path) == ()
    (tmp_path / "corruptions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns"):
        read_corruptions(tmp_path)


def test_figure_is_drawn_of_all_and_of_some(tmp_path: Path) -> None:
    every = [ROWS[0]] + [replace(ROWS[1], corruption=name, strength=s) for name, s in CONDITIONS if s]
    for name, rows in (("all.png", every), ("some.png", ROWS)):
        figures.corruptions(rows, tmp_path / name)
        with Image.open(tmp_path / name) as drawn:
            assert drawn.width >= 800 and len(set(drawn.convert("L").resize((90, 56)).tobytes())) > 10
    with pytest.raises(ValueError, match="clean"):
        figures.corruptions(ROWS[1:], tmp_path / "none.png")


def test_command(
    dataset_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    report_records: tuple[Record, ...],
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(model_folder, folder)
    assert main(["--data", str(dataset_folder), "--model", str(folder), "--views", "1"]) == 0
    rows = read_corruptions(folder)
    assert [(row.corruption, row.strength) for row in rows] == list(CONDITIONS)
    assert {row.photos for row in rows} == {len(report_records)}
    one_view = Classifier(folder)
    one_view.configuration = replace(one_view.configuration, views=1)
    (clean,) = measure(one_view, report_records, [("none", 0)])
    assert rows[0].mean_top_probability == pytest.approx(clean.mean_top_probability, abs=1e-4)
    assert Classifier(folder).configuration.views == 8  # the model folder keeps its own


def test_command_says_what_is_wrong(
    dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data, model, words in (
        (tmp_path, model_folder, "give --data"),
        (dataset_folder, tmp_path, "no model folder"),
    ):
        assert main(["--data", str(data), "--model", str(model)]) == 1
        assert words in capsys.readouterr().err
    assert not (model_folder / "corruptions.csv").exists()


def test_a_photo_that_cannot_be_read_is_named(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="ISIC_1 cannot be read. "):
        measure(load(model_folder), [Record("ISIC_1", "lesion", "nv", tmp_path / "x.jpg")])
