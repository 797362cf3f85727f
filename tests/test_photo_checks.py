"""The photo checks find what a photographer did wrong, one thing at a time, and leave good photos alone."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from skinapp.lesions import CODES
from skinapp.photo.checks import (
    SHARP_SIDE,
    Check,
    check_square,
    dermatoscopic_check,
    fine_and_coarse,
    lesion_outline,
)
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import Frame, framed
from train.checks import DAMAGES


def square(code: str = "nv", seed: int = 2) -> Image.Image:
    return framed(draw_lesion(code, seed), Frame())


def failed(picture: Image.Image, side: int = 450) -> set[str]:
    return {check.name for check in check_square(picture, side) if not check.passed}


@pytest.mark.parametrize("code", CODES)
def test_a_good_photo_passes_all(code: str) -> None:
    checks = check_square(square(code), 450)
    assert [check.name for check in checks] == ["size", "sharp", "lit", "corners", "framed"]
    assert all(check.passed and check.finding and not check.advice for check in checks)


@pytest.mark.parametrize("code", CODES)
def test_detail_is_what_blurred_pictures_tell(code: str) -> None:
    levels = np.asarray(square(code).convert("L").resize((SHARP_SIDE, SHARP_SIDE)), np.float32)
    once = ndimage.gaussian_filter(levels, 1, truncate=3)
    often = ndimage.gaussian_filter(levels, 4, truncate=3)
    np.testing.assert_allclose(
        fine_and_coarse(levels), ((levels - once).std(), (once - often).std()), rtol=1e-4
    )


def test_a_picture_of_one_colour_has_no_detail() -> None:
    assert max(fine_and_coarse(np.full((SHARP_SIDE, SHARP_SIDE), 255, np.float32))) < 0.01


@pytest.mark.parametrize(
    "name, spoil",
    [
        ("sharp", lambda picture: picture.filter(ImageFilter.GaussianBlur(5))),
        ("lit", lambda picture: ImageEnhance.Brightness(picture).enhance(0.35)),
        ("lit", lambda picture: Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.9)),
        ("corners", DAMAGES["a round dark rim"]),
        ("framed", lambda picture: picture.crop((0, 0, 230, 230))),
        ("framed", lambda picture: Image.new("RGB", (300, 300), (220, 180, 160))),
    ],
)
def test_a_spoilt_photo_is_told_what_to_do(name: str, spoil: Callable[[Image.Image], Image.Image]) -> None:
    checks = {check.name: check for check in check_square(spoil(square()), 450)}
    assert not checks[name].passed
    assert checks[name].finding.endswith(".") and checks[name].advice.endswith(".")


def test_a_small_square_is_told_by_its_size_as_taken() -> None:
    assert failed(square(), side=199) == {"size"} and failed(square(), side=200) == set()


def test_a_lesion_cut_off_by_the_edge_is_found() -> None:
    large = Image.new("RGB", (300, 300), (226, 180, 160))
    large.paste((90, 50, 40), (60, 0, 240, 300))
    grain = np.random.default_rng(1).normal(0, 8, (300, 300, 1))
    noisy = Image.fromarray(np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8))
    (framing,) = (check for check in check_square(noisy, 300) if check.name == "framed")
    assert not framing.passed and "cut off" in framing.finding


def test_the_outline_is_about_where_the_lesion_was_drawn() -> None:
    y, x = np.mgrid[:64, :64]
    drawn = np.hypot(x - 28, y - 35) < 14
    picture = np.where(drawn[..., None], [110.0, 70, 50], [220.0, 180, 160]).astype(np.float32)
    found = lesion_outline(picture)
    assert found is not None
    assert (found & drawn).sum() / (found | drawn).sum() > 0.85


def test_the_network_s_own_word_is_a_check_too() -> None:
    assert dermatoscopic_check(True) == Check("dermatoscopic", True, "Looks like a dermatoscopic photo.", "")
    assert "dermatoscope" in dermatoscopic_check(False).advice
