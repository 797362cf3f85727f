"""Augmentation: what it may change, by how much, and that it is a pure function of its seed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from skinapp.lesions import CODES
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_pixels
from train.network.augment import (
    Augmentation,
    augment,
    coarsened,
    colour,
    compressed,
    degraded,
    mix,
    moved,
    noisy,
    partners,
    rimmed,
    ruled,
    sharpen_or_blur,
    smooth,
    turn_and_crop,
)

SOURCE, SIZE = 64, 40
STILL = Augmentation(
    smallest_crop=1.0, stretch=0.0, free_rotation=0.0, brightness=0.0, contrast=0.0, saturation=0.0,
    white_balance=0.0, mixed=0.0, label_smoothing=0.0,
)  # fmt: skip


def seed(number: int = 1) -> tf.Tensor:
    return tf.constant([7, number], tf.int32)


def drawn(number: int = 14) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 (number, SOURCE, SOURCE, 3) and one-hot labels."""
    pictures = [to_pixels(draw_lesion(CODES[i % 7], i, (120, 100)), SOURCE, "bicubic") for i in range(number)]
    return tf.constant(np.stack(pictures)), tf.one_hot(np.arange(number) % 7, 7)


def quarters(number: int = 64) -> tf.Tensor:
    """Pictures whose four quarters are red, green, blue and white."""
    colours = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
    picture = np.asarray(Image.fromarray(colours).resize((SOURCE, SOURCE), Image.Resampling.NEAREST))
    return tf.constant(np.stack([picture] * number))


def black_and_white(number: int = 64) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 pictures, white (class 0) and black (class 1) in turn."""
    kind = np.arange(number) % 2
    pictures = np.where(kind == 0, 255.0, 0.0)[:, None, None, None] * np.ones((1, SIZE, SIZE, 3))
    return tf.constant(pictures, tf.float32), tf.one_hot(kind, 7)


def neighbours(number: int) -> tf.Tensor:
    """Each picture's neighbour, of the other colour."""
    return tf.roll(tf.range(number), 1, 0)


def test_pictures_are_mixed_within_their_group_alone() -> None:
    groups = np.array([0, 2, 0, 1, 2, 0, 1, 3])
    found = partners(tf.constant(groups)).numpy()
    assert (groups[found] == groups).all()
    assert found.tolist() == [2, 4, 5, 6, 4, 5, 6, 7]  # the next of the group, the last one itself


def test_labels_are_smoothed_over_the_classes_that_the_source_shows() -> None:
    shown = tf.constant([[0.0, 0, 1, 0, 1, 1, 0]])
    smoothed = smooth(tf.one_hot([4], 7), 0.06, shown).numpy()[0]
    np.testing.assert_allclose(smoothed, [0, 0, 0.02, 0, 0.96, 0.02, 0], atol=1e-6)


def test_a_rim_darkens_the_corners_and_spares_the_middle() -> None:
    white = tf.fill([200, SIZE, SIZE, 3], 200.0)
    rimmed_ = rimmed(white, replace(STILL, rim=0.5), seed()).numpy()
    middle = SIZE // 2
    assert (rimmed_[:, middle, middle] == 200).all()
    assert 0.35 < (rimmed_[:, 0, 0, 0] < 200).mean() < 0.65 and rimmed_[:, 0, 0].min() == 0


def test_a_ruler_is_drawn_into_its_share_of_pictures() -> None:
    white = tf.fill([200, SIZE, SIZE, 3], 200.0)
    drawn_ = ruled(white, replace(STILL, ruler=0.3), seed()).numpy()
    changed = (drawn_ != 200).any(axis=(1, 2, 3))
    assert 0.2 < changed.mean() < 0.4 and set(np.unique(drawn_)) == {50.0, 200.0}
    assert (drawn_ != 200).mean() < 0.02


def test_shapes_ranges_and_labels() -> None:
    pictures, labels = augment(*drawn(), SIZE, Augmentation(), seed())
    assert pictures.shape == (14, SIZE, SIZE, 3) and pictures.dtype == tf.float32
    assert np.min(pictures) >= 0 and np.max(pictures) <= 255 and np.std(pictures) > 10
    assert labels.shape == (14, 7) and np.min(labels) >= 0
    np.testing.assert_allclose(np.sum(labels, axis=1), 1, atol=1e-5)


def test_same_seed_same_pictures() -> None:
    for once, again in zip(
        augment(*drawn(), SIZE, Augmentation(), seed()),
        augment(*drawn(), SIZE, Augmentation(), seed()),
        strict=True,
    ):
        assert np.array_equal(once, again)


@pytest.mark.parametrize("other", [[7, 2], [8, 1]])
def test_other_seed_other_pictures(other: list[int]) -> None:
    once = augment(*drawn(), SIZE, Augmentation(), seed())[0]
    again = augment(*drawn(), SIZE, Augmentation(), tf.constant(other, tf.int32))[0]
    assert np.all(np.abs(once - again).mean(axis=(1, 2, 3)) > 1)


def test_input_pipeline_makes_the_same_pictures() -> None:
    eager = augment(*drawn(), SIZE, Augmentation(), seed())
    pipeline = tf.data.Dataset.from_tensors(drawn()).map(
        lambda p, n: augment(p, n, SIZE, Augmentation(), seed())
    )
    for once, again in zip(eager, next(iter(pipeline)), strict=True):
        np.testing.assert_allclose(once, again, atol=0.01)


@pytest.mark.parametrize(
    "step",
    [
        lambda images: turn_and_crop(images, SIZE, replace(STILL, smallest_crop=0.6), seed()),
        lambda images: turn_and_crop(images, SIZE, replace(STILL, free_rotation=1.0), seed()),
        lambda images: turn_and_crop(images, SIZE, replace(STILL, stretch=0.3), seed()),
        lambda images: sharpen_or_blur(tf.cast(images, tf.float32), seed()),
        lambda images: colour(tf.cast(images, tf.float32), replace(STILL, brightness=0.2), seed()),
        lambda images: colour(tf.cast(images, tf.float32), replace(STILL, contrast=0.2), seed()),
        lambda images: colour(tf.cast(images, tf.float32), replace(STILL, saturation=0.5), seed()),
        lambda images: colour(tf.cast(images, tf.float32), replace(STILL, white_balance=0.2), seed()),
    ],
    ids=["crop", "rotation", "stretch", "blur", "brightness", "contrast", "saturation", "white balance"],
)
def test_each_change_differs_from_picture_to_picture(step: Callable[[tf.Tensor], tf.Tensor]) -> None:
    picture = drawn(2)[0][1]
    flattened = np.round(np.reshape(step(tf.stack([picture] * 8)), (8, -1)), 2)
    assert len(np.unique(flattened, axis=0)) >= 6


def test_settings_of_nothing_leave_the_plainly_resized_picture() -> None:
    """Apart from mirroring and quarter turns, and a frame of at most 5 % that the crop may add."""
    originals = drawn()[0]
    changed = turn_and_crop(originals, SIZE, STILL, seed()).numpy()
    changed = colour(changed, STILL, seed()).numpy()
    for original, picture in zip(originals.numpy(), changed, strict=True):
        plain = to_pixels(Image.fromarray(original), SIZE, "bilinear").astype(float)
        distances = [np.abs(turned - picture).mean() for turned in all_turns(plain)]
        assert min(distances) < 6 and min(distances) < max(distances) / 2


def all_turns(picture: np.ndarray) -> list[np.ndarray]:
    """The eight ways to mirror and turn a square."""
    return [np.rot90(p, k) for p in (picture, picture[:, ::-1]) for k in range(4)]


def test_mirroring_and_quarter_turns_only_rearrange() -> None:
    """Every picture's quarters end up as in one of the eight turns, and all eight occur."""
    changed = turn_and_crop(quarters(), SIZE, STILL, seed()).numpy()
    expected = [turned.tolist() for turned in all_turns(np.arange(4).reshape(2, 2))]
    names = {(255, 0, 0): 0, (0, 255, 0): 1, (0, 0, 255): 2, (255, 255, 255): 3}
    at = (SIZE // 4, 3 * SIZE // 4)
    found = [[[names[tuple(picture[i, j].astype(int))] for j in at] for i in at] for picture in changed]
    assert all(arrangement in expected for arrangement in found)
    assert all(arrangement in found for arrangement in expected)


def test_turning_by_any_angle_keeps_a_disc_round() -> None:
    y, x = np.mgrid[:SOURCE, :SOURCE] - (SOURCE - 1) / 2
    disc = np.where(np.hypot(x, y) < SOURCE / 4, 0, 255).astype(np.uint8)[..., None] * np.ones(3, np.uint8)
    changed = turn_and_crop(
        tf.constant(np.stack([disc] * 50)), SIZE, replace(STILL, free_rotation=1.0), seed()
    )
    plain = to_pixels(Image.fromarray(disc), SIZE, "bilinear").astype(float)
    assert np.abs(changed - plain).mean(axis=(1, 2, 3)).max() < 8  # a crop of 1.05 makes 5 of it


def test_turning_bytes_does_not_darken() -> None:
    """TensorFlow cuts their fractions off. However a ramp is turned about its middle, its mean stays."""
    ramp = np.tile(4 * np.arange(SOURCE, dtype=np.uint8)[None, None, :, None], (50, SOURCE, 1, 3))
    changed = turn_and_crop(tf.constant(ramp), SIZE, replace(STILL, free_rotation=1.0), seed())
    assert np.mean(changed) == pytest.approx(ramp.mean(), abs=0.1)


@pytest.mark.parametrize("smallest", [0.5, 0.9])
def test_crop_keeps_to_its_smallest_side(smallest: float) -> None:
    """A picture of left to right brightness shows how much of its width is left."""
    ramp = np.tile(np.linspace(0, 255, SOURCE)[None, None, :, None], (200, SOURCE, 1, 3)).astype(np.uint8)
    changed = turn_and_crop(tf.constant(ramp), SIZE, replace(STILL, smallest_crop=smallest), seed()).numpy()
    spans = np.ptp(changed[..., 0], axis=(1, 2)) / 255
    assert spans.min() > smallest - 0.05
    assert spans.min() < smallest + 0.05 and spans.max() > 0.93


def test_smoothed_labels_stay_a_distribution() -> None:
    smoothed = smooth(tf.one_hot([2], 7), 0.07).numpy()[0]
    assert smoothed.sum() == pytest.approx(1)
    assert smoothed[2] == pytest.approx(0.94) and smoothed[0] == pytest.approx(0.01)


def test_blur_keeps_flat_pictures_and_mean_brightness() -> None:
    flat = tf.fill([4, SIZE, SIZE, 3], 80.0)
    np.testing.assert_allclose(sharpen_or_blur(flat, seed()), flat, atol=1e-3)
    pictures = tf.cast(drawn()[0], tf.float32)
    assert np.mean(sharpen_or_blur(pictures, seed())) == pytest.approx(np.mean(pictures), abs=0.5)


def test_saturation_alone_keeps_grey_grey_and_luma() -> None:
    settings, weights = replace(STILL, saturation=0.5), np.array([0.299, 0.587, 0.114])
    grey = tf.fill([4, 8, 8, 3], 120.0)
    np.testing.assert_allclose(colour(grey, settings, seed()), grey, atol=1e-3)
    skin = tf.ones([4, 8, 8, 3]) * tf.constant([180.0, 140.0, 120.0])
    np.testing.assert_allclose(
        colour(skin, settings, seed()).numpy() @ weights, skin.numpy() @ weights, atol=1e-2
    )


@pytest.mark.parametrize(
    "setting, low, high",
    [
        ({"brightness": 0.2}, 100 * 0.8, 100 * 1.2),
        ({"white_balance": 0.1}, 100 * 0.9, 100 * 1.1),
        ({"contrast": 0.5}, 127 - 27 * 1.5, 127 - 27 * 0.5),
    ],
)
def test_colour_keeps_to_its_range_and_uses_it(setting: dict[str, float], low: float, high: float) -> None:
    changed = colour(tf.fill([500, 2, 2, 3], 100.0), replace(STILL, **setting), seed()).numpy()
    assert changed.min() >= low - 0.01 and changed.max() <= high + 0.01
    assert np.ptp(changed) > 0.9 * (high - low)


def test_label_share_is_pixel_share() -> None:
    pictures, labels = mix(*black_and_white(), replace(STILL, mixed=1.0), seed(), neighbours(64))
    np.testing.assert_allclose(np.mean(pictures, axis=(1, 2, 3)) / 255, labels[:, 0], atol=1e-5)
    np.testing.assert_allclose(labels[:, 0] + labels[:, 1], 1, atol=1e-5)


def test_half_is_mixup_and_half_is_cutmix() -> None:
    pictures = mix(*black_and_white(400), replace(STILL, mixed=0.8), seed(), neighbours(400))[0].numpy()
    grey = ((pictures > 1) & (pictures < 254)).all(axis=(1, 2, 3))  # mix-up blends every pixel
    cut = ~grey & (np.ptp(pictures, axis=(1, 2, 3)) > 0)  # CutMix leaves both colours whole
    assert set(np.unique(pictures[cut])) == {0.0, 255.0}
    assert 0.25 < grey.mean() + 0.05 < 0.5 and 0.3 < cut.mean() < 0.5


def test_cutmix_pastes_one_square_of_at_most_half_the_picture() -> None:
    pictures = mix(*black_and_white(400), replace(STILL, mixed=0.8), seed(), neighbours(400))[0].numpy()[
        ..., 0
    ]
    for picture in pictures[1::2]:  # black ones
        if set(np.unique(picture)) == {0.0, 255.0}:
            rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
            assert picture.sum() == 255 * len(rows) * len(columns) <= 255 * SIZE * SIZE * 0.55
            assert np.ptp(rows) + 1 == len(rows) and abs(len(rows) - len(columns)) <= 1


def test_own_picture_outweighs_its_neighbour() -> None:
    _, labels = mix(*black_and_white(400), replace(STILL, mixed=1.0), seed(), neighbours(400))
    own = labels.numpy()[np.arange(400), np.arange(400) % 2]
    assert own.min() > 0.45


def test_coarse_pictures_lose_their_detail_and_the_rest_stays() -> None:
    checkered = tf.constant(
        np.indices((64, SIZE, SIZE)).sum(0)[..., None] % 2 * np.full(3, 255.0), tf.float32
    )
    settings = replace(STILL, coarse=0.5, coarsest=0.4)
    images = np.asarray(coarsened(checkered, settings, seed()))
    changed = np.abs(images - np.asarray(checkered)).max(axis=(1, 2, 3)) > 1
    assert 16 < changed.sum() < 48
    assert images[changed].std(axis=(1, 2, 3)).max() < 40
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 127.5, atol=3)


def test_noise_differs_from_picture_to_picture_and_stays_within_its_strength() -> None:
    grey = tf.fill([256, SIZE, SIZE, 3], 127.0)
    spread = np.asarray(noisy(grey, replace(STILL, noise=20.0), seed())).std(axis=(1, 2, 3))
    assert 15 < spread.max() < 21 and np.median(spread) < 6
    np.testing.assert_array_equal(noisy(grey, STILL, seed()), grey)


def test_motion_smears_along_one_line_and_keeps_the_mean() -> None:
    point = np.zeros((64, SIZE, SIZE, 3), np.float32)
    point[:, SIZE // 2, SIZE // 2] = 255
    images = np.asarray(moved(tf.constant(point), replace(STILL, motion=0.5), seed(3)))
    smeared = images.max(axis=(1, 2, 3)) < 200
    assert 16 < smeared.sum() < 48
    np.testing.assert_array_equal(images[~smeared], point[~smeared])
    np.testing.assert_allclose(images.sum(axis=(1, 2)), 255, rtol=1e-3)
    y, x = np.nonzero(images[smeared][0, ..., 0])
    across, along = np.sqrt(np.linalg.eigvalsh(np.cov(y, x)))
    assert along > 1.5 * across
    assert np.hypot(y - SIZE // 2, x - SIZE // 2).max() <= SIZE / 20 * 1.5


def test_compression_takes_a_share_of_the_pictures_each_in_its_own_quality() -> None:
    draws = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    images = np.asarray(compressed(tf.constant(np.repeat(draws, 64, 0)), replace(STILL, jpeg=0.5), seed()))
    lost = np.abs(images - draws).mean(axis=(1, 2, 3))
    assert 16 < (lost > 1).sum() < 48 and not lost[lost <= 1].any()
    assert len(np.unique(lost[lost > 1])) > 10
    assert images.min() >= 0 and images.max() <= 255


def test_only_the_asked_damage_is_done_and_by_the_seed_alone() -> None:
    pictures, _ = augment(*drawn(), SIZE, Augmentation(), seed())
    np.testing.assert_array_equal(degraded(pictures, Augmentation(), seed()), pictures)
    for name in ("coarse", "motion", "jpeg", "noise"):
        settings = replace(Augmentation(), **{name: 2.0 if name == "noise" else 1.0})
        once, again, other = (np.asarray(degraded(pictures, settings, seed(n))) for n in (1, 1, 2))
        np.testing.assert_array_equal(once, again)
        assert 0 < np.abs(once - pictures).mean() < 20, name
        assert np.abs(once - other).max() > 0, name
