"""Is the photo fit to be read? What a photographer could do better, before any number is believed.

The limits were set on tune lesions of HAM10000 so that nearly all of them pass (`python -m train.checks` measures how many do,
and how many damaged copies are found: train/EXPERIMENTS.md).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import fft, ndimage

SMALL_SIDE = 200  # pixels of the square below which detail that dermatoscopy is about is lost
SHARP_SIDE = 256  # pixels a side at which sharpness is judged
# Fine over coarse detail: a blur of two pixels of 256 falls below it, HAM10000 lies above.
SHARP_ENOUGH = 0.24
LIT_SIDE = 64  # pixels a side at which light, corners and the lesion's place are judged
DARKEST, BRIGHTEST = 92, 235  # median grey level of a photo that is lit well
GLARE = 0.10  # share of white pixels
DARK_CORNER = 50  # grey level; one dark corner may be a hair or a ruler, two are the dermatoscope's rim
CORNER = 8  # of LIT_SIDE pixels
CUT_OFF = 0.2  # share of the photo's edge that the lesion covers
OFF_CENTRE = 0.26  # from the photo's middle to the lesion's, in sides of the square


@dataclass(frozen=True)
class Check:
    """One property of a photo. `name`: a word for programs; `finding`: one sentence, what was found; `advice`: one
    sentence, what to do about it, empty where the check is passed."""

    name: str
    passed: bool
    finding: str
    advice: str


def check_square(square: Image.Image, side: int) -> tuple[Check, ...]:
    """The checks that need no network. square: RGB (S, S), what is read of the photo; side: its pixels a side as taken."""
    small = np.asarray(square.resize((LIT_SIDE, LIT_SIDE), Image.Resampling.BOX), np.float32)
    grey = small @ np.array([0.299, 0.587, 0.114], np.float32)
    return (
        _size(side),
        _sharp(square),
        _light(grey, small),
        _corners(grey),
        _framed(small),
    )


def dermatoscopic_check(passed: bool) -> Check:
    """What the network's own score says (`skinapp.network.dermatoscopic`)."""
    return _check(
        "dermatoscopic",
        passed,
        "Looks like a dermatoscopic photo.",
        "This does not look like a dermatoscopic photo.",
        "Take it through a dermatoscope, with the lesion filling a third of the picture.",
    )


def colours_check(ignored_profile: bool) -> Check:
    """ignored_profile: whether the photo's own colour profile could not be used (`skinapp.photo.colours`)."""
    return _check(
        "colours",
        not ignored_profile,
        "Colours are known.",
        "The photo's colour profile cannot be used: its colours may be wrong.",
        "Export the photo in sRGB, and compare its colours with the original.",
    )


def lesion_outline(picture: np.ndarray) -> np.ndarray | None:
    """Roughly where the lesion is: what differs from the skin at the rim. float32 (S, S, 3) -> bool (S, S), or None.

    Good enough to tell a lesion in the middle from one at the edge (median overlap with the outlines of Tschandl 2020
    on tune photos .74), and for nothing else.
    """
    smooth = ndimage.gaussian_filter(picture, (1.5, 1.5, 0))
    rim = np.ones(smooth.shape[:2], bool)
    rim[6:-6, 6:-6] = False
    brightness = smooth[rim].mean(axis=1)
    skin = np.median(smooth[rim][brightness >= np.median(brightness)], axis=0)
    away = np.linalg.norm(smooth - skin, axis=2)
    inside = ndimage.binary_fill_holes(ndimage.binary_opening(away > _otsu(away)))
    regions, number = ndimage.label(inside)
    if not number:
        return None
    across = (np.arange(len(picture)) + 0.5) / len(picture) - 0.5
    central = np.exp(-8 * (across[:, None] ** 2 + across[None, :] ** 2))
    weights = ndimage.sum_labels(central, regions, range(1, number + 1))
    return regions == 1 + int(np.argmax(weights))


def fine_and_coarse(levels: np.ndarray) -> tuple[float, float]:
    """How much detail there is, in grey levels. levels: float32 (SHARP_SIDE, SHARP_SIDE) -> standard deviations of what a
    Gaussian blur of one pixel takes away, and of what one of four pixels takes of the rest.

    A blur that reflects at the edges weighs each coefficient of the cosine transform, which leaves sums of squares as they
    are (Parseval): the blurred pictures themselves, five times as dear, are not needed.
    """
    power = fft.dctn(levels, norm="ortho") ** 2 / levels.size
    # No np.vdot: BLAS would wake a thread for it, which then gets in the network's way.
    fine, coarse = (float(np.sqrt((power * shares).sum())) for shares in _taken_by_blur())
    return fine, coarse


@cache
def _taken_by_blur() -> tuple[np.ndarray, np.ndarray]:
    """The shares of each coefficient's power that the two blurs take away. float32 (SHARP_SIDE, SHARP_SIDE) each."""
    number = np.arange(SHARP_SIDE)
    cosines = np.cos(np.pi * np.outer(number, number + 0.5) / SHARP_SIDE)
    left = [ndimage.gaussian_filter1d(cosines, sigma, truncate=3)[:, 0] / cosines[:, 0] for sigma in (1, 4)]
    once, often = (np.outer(along, along).astype(np.float32) for along in left)
    return (1 - once) ** 2, (once - often) ** 2


def _check(name: str, passed: bool, good: str, bad: str, advice: str) -> Check:
    return Check(name, True, good, "") if passed else Check(name, False, bad, advice)


def _size(side: int) -> Check:
    return _check(
        "size",
        side >= SMALL_SIDE,
        "Large enough.",  # how large is not known of a JPEG that was decoded at half its size
        f"Small: the square has only {side} pixels a side.",
        "Choose a larger part of the photo, or take it at a higher resolution.",
    )


def _sharp(square: Image.Image) -> Check:
    grey = square.convert("L").resize((SHARP_SIDE, SHARP_SIDE), Image.Resampling.BOX)
    fine, coarse = fine_and_coarse(np.asarray(grey, np.float32))
    return _check(
        "sharp",
        fine / (coarse + 0.5) >= SHARP_ENOUGH,
        "Sharp.",
        "Blurred: fine detail is missing.",
        "Focus, hold the dermatoscope against the skin, and take the photo again.",
    )


def _light(grey: np.ndarray, picture: np.ndarray) -> Check:
    middle = float(np.median(grey))
    glare = float((picture.min(axis=2) > 245).mean())
    if middle < DARKEST:
        return Check("lit", False, "Too dark.", "Take the photo with more light or a longer exposure.")
    if middle > BRIGHTEST or glare > GLARE:
        return Check(
            "lit", False, "Too bright.", "Take the photo with less light, or polarised light against glare."
        )
    return Check("lit", True, "Lit well.", "")


def _corners(grey: np.ndarray) -> Check:
    ends = (slice(None, CORNER), slice(-CORNER, None))
    levels = sorted(float(grey[rows, columns].mean()) for rows in ends for columns in ends)
    return _check(
        "corners",
        levels[1] >= DARK_CORNER,
        "No dark corners.",
        "Dark corners: the rim of the dermatoscope is in the picture.",
        "Crop the photo inside the rim, or zoom in.",
    )


def _framed(picture: np.ndarray) -> Check:
    outline = lesion_outline(picture)
    if outline is None:
        return Check("framed", False, "No lesion stands out.", "Check that the lesion is in the picture.")
    edge = float(np.concatenate([outline[0], outline[-1], outline[:, 0], outline[:, -1]]).mean())
    middle = np.array(ndimage.center_of_mass(outline)) + 0.5
    away = float(np.linalg.norm(middle / len(picture) - 0.5))
    if away > OFF_CENTRE:
        return Check("framed", False, "The lesion is not in the middle.", "Move the frame onto the lesion.")
    return _check(
        "framed",
        edge <= CUT_OFF,
        "The lesion lies inside the frame.",
        "The lesion seems to be cut off by the edge.",
        "Choose a larger part of the photo, or step back.",
    )


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts the values best in two (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, 64)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    mass = np.cumsum(counts * centres)
    above = counts.sum() - below
    apart = mass[:-1] / np.maximum(below, 1) - (mass[-1] - mass[:-1]) / np.maximum(above, 1)
    return float(centres[int(np.argmax(below * above * apart**2))])
