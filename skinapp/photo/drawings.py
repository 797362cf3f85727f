"""Drawn lesions: pictures that a network can tell apart, made without any photograph of a patient.

They imitate what the eye goes by (colour, outline, texture), not a disease: for examples, tests and screenshots.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from skinapp.lesions import CODES

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """What sets one class's drawings apart. Lengths are relative to half the picture's shorter side."""

    core: Colour
    rim: Colour
    radius: float
    ragged: float  # how far the outline strays from an ellipse
    edge: float  # width of the blurred border
    blotch: Colour  # of the patches inside
    blotches: float  # how much of the lesion they cover, 0 to 1
    speck: Colour = (0, 0, 0)
    specks: int = 0
    vessels: int = 0
    network: float = 0.0  # strength of the brown mesh of a mole


# fmt: off
LOOKS: dict[str, Look] = {
    "akiec": Look((206, 120, 104), (214, 140, 122), 0.62, 0.13, 0.10, (238, 214, 190), 0.40,
                  (246, 232, 214), 40),
    "bcc": Look((222, 160, 156), (206, 140, 136), 0.52, 0.09, 0.05, (120, 112, 136), 0.25,
                (84, 84, 110), 12, vessels=9),
    "bkl": Look((150, 108, 70), (126, 84, 50), 0.60, 0.07, 0.02, (178, 138, 92), 0.45,
                (240, 222, 180), 22),
    "df": Look((238, 208, 192), (164, 110, 84), 0.42, 0.04, 0.10, (176, 124, 98), 0.10),
    "mel": Look((52, 34, 32), (104, 62, 42), 0.66, 0.24, 0.03, (84, 88, 112), 0.35,
                (22, 16, 18), 14, network=0.10),
    "nv": Look((112, 70, 46), (158, 108, 76), 0.46, 0.05, 0.07, (100, 62, 40), 0.20, network=0.22),
    "vasc": Look((150, 22, 40), (196, 52, 62), 0.44, 0.06, 0.02, (92, 14, 50), 0.50,
                 (116, 8, 30), 10),
}
# fmt: on
def draw_lesion(code: str, seed: int = 0, size: tuple[int, int] = (600, 450)) -> Image.Image:
    """One drawn lesion on skin. size: (width, height) -> RGB Pillow image, alike for like arguments."""
    look, random = LOOKS[code], np.random.default_rng([seed, CODES.index(code)])
    width, height = size
    half = min(size) / 2
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5 - width / 2) / half, (y + 0.5 - height / 2) / half

    skin = np.array([226, 180, 160]) + random.normal(0, 5, 3)
    picture = skin + 5 * _clouds(random, size, 5)[..., None] * np.array([1.0, 1.2, 1.2])
    picture = _lay(
        picture, (196, 140, 124), 0.5 * _strokes(random, size, 6, 0.010)
    )  # the skin's own fine vessels

    left, top = x - random.uniform(-0.15, 0.15), y - random.uniform(-0.12, 0.12)
    angle = np.arctan2(top, left)
    outline = (
        look.radius * random.uniform(0.85, 1.15) * (1 + 0.12 * np.cos(2 * (angle - random.uniform(0, np.pi))))
    )
    for waves in range(3, 9):
        outline += (
            look.radius
            * look.ragged
            * random.normal(0, 1.6 / waves)
            * np.cos(waves * angle + random.uniform(0, 6.3))
        )
    distance = np.hypot(left, top) / np.maximum(outline, 0.1)
    inside = 1 / (1 + np.exp(np.clip((distance - 1) / (look.edge / 2), -30, 30)))

    towards_rim = np.clip(distance, 0, 1)[..., None] ** 2
    lesion = np.array(look.core) * (1 - towards_rim) + np.array(look.rim) * towards_rim
    clouds = _clouds(random, size, 8)
    lesion = _lay(
        lesion, look.blotch, 0.8 / (1 + np.exp(-6 * (clouds - np.quantile(clouds, 1 - look.blotches))))
    )
    mesh = np.sin(34 * left + 1.5 * _clouds(random, size, 6)) * np.sin(
        34 * top + 1.5 * _clouds(random, size, 6)
    )
    lesion = lesion * (1 - look.network * np.clip(mesh, 0, 1))[..., None]
    for _ in range(look.specks):
        away, towards = look.radius * 0.85 * np.sqrt(random.random()), random.uniform(0, 2 * np.pi)
        spot = np.hypot(left - away * np.cos(towards), top - away * np.sin(towards)) / random.uniform(
            0.02, 0.05
        )
        lesion = _lay(lesion, look.speck, 0.8 * np.exp(-(spot**4)))
    lesion = _lay(lesion, (178, 40, 48), 0.8 * _strokes(random, size, look.vessels, 0.022))

    picture = picture * (1 - inside[..., None]) + lesion * inside[..., None]
    picture = _lay(
        picture, (60, 42, 34), 0.7 * _strokes(random, size, int(random.integers(0, 4)), 0.012)
    )  # hairs
    picture *= (
        1 - 0.35 * np.clip(np.hypot(x, y) - 0.85, 0, 1)[..., None]
    )  # the dermatoscope's light falls off
    picture += random.normal(0, 2.0, (height, width, 1)) + random.normal(0, 1.0, (height, width, 3))
    return Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))


def _lay(picture: np.ndarray, colour: Colour, cover: np.ndarray) -> np.ndarray:
    """Lay a colour over a picture. picture: float (H, W, 3); cover: float (H, W), 0 to 1."""
    return picture + (np.array(colour) - picture) * cover[..., None]


def _clouds(random: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of about unit variance. float (H, W) from a grid of cells x cells."""
    coarse = Image.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def _strokes(random: np.random.Generator, size: tuple[int, int], number: int, thickness: float) -> np.ndarray:
    """Thin curved lines. float (H, W), 1 on a line."""
    scale = 2  # drawn twice as large and reduced, because Pillow's lines are jagged
    mask = Image.new("L", (size[0] * scale, size[1] * scale))
    pen = ImageDraw.Draw(mask)
    for _ in range(number):
        start, middle, end = random.uniform(0, 1, (3, 2)) * mask.size
        t = np.linspace(0, 1, 24)[:, None]
        curve = start * (1 - t) ** 2 + middle * 2 * t * (1 - t) + end * t**2
        pen.line(
            [tuple(point) for point in curve.tolist()], fill=255, width=max(1, round(thickness * min(size)))
        )
    return np.asarray(mask.resize(size, Image.Resampling.BOX), dtype=np.float32) / 255
