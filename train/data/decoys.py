"""Decoys: drawn pictures that are no dermatoscopic photo, to measure whether they are taken for one.

They show that a score works, not how well it works on photographs: plain skin and clinical close-ups imitate
what sets them apart from a dermatoscopic photo (no even light, the skin's relief visible, the lesion small),
but that they are drawn sets them apart, too.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float]
Drawing = Callable[[np.random.Generator, int], np.ndarray]

SKIN: tuple[Colour, ...] = (
    (240, 208, 190), (228, 186, 164), (206, 158, 128), (172, 122, 92), (124, 84, 62), (84, 56, 44),
)  # fmt: skip
SPOTS: tuple[Colour, ...] = (
    (0.55, 0.42, 0.36),
    (0.3, 0.24, 0.24),
    (0.78, 0.64, 0.55),
    (0.85, 0.5, 0.48),
    (0.97, 0.75, 0.72),
)  # of the skin's own colour
CLOTHS: tuple[Colour, ...] = ((52, 74, 112), (236, 236, 232), (92, 128, 96), (60, 58, 62), (150, 60, 60))


def draw_decoy(kind: str, seed: int = 0, size: int = 300) -> Image.Image:
    """One drawn picture. kind: a key of DECOYS -> RGB Pillow image (size, size), alike for like arguments.

    Consecutive seeds go through the things of a kind in turn.
    """
    drawings = DECOYS[kind]
    random = np.random.default_rng([seed, list(DECOYS).index(kind)])
    picture = drawings[seed % len(drawings)](random, size)
    picture = picture + random.normal(0, 1.5, (size, size, 1)) + random.normal(0, 1, (size, size, 3))
    return Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))


def in_room_light(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A dermatoscopic photo as if taken without a dermatoscope: lit from one side, shining in places.

    picture: uint8 (S, S, 3) -> uint8 (S, S, 3).
    """
    size = len(picture)
    towards, _ = _turned(size, random.uniform(0, 2 * np.pi))
    relief = _clouds(random, size, 24) + _clouds(random, size, 5)
    shine = np.clip(1.5 * (relief - np.quantile(relief, 0.95)), 0, 1)
    lit = picture * (1 - 0.3 * towards)[..., None]
    return np.clip(np.round(_lay(lit, (245, 245, 245), 0.8 * shine)), 0, 255).astype(np.uint8)


def _plain_skin(random: np.random.Generator, size: int) -> np.ndarray:
    """Skin from a hand's breadth away: furrows, pores, hairs, light from one side."""
    tone = np.array(SKIN[random.integers(len(SKIN))]) * random.normal(1, 0.02, 3)
    picture = tone * (1 + 0.02 * _clouds(random, size, 4)[..., None] * np.array([0.6, 1.2, 1.2]))
    cells = int(random.integers(24, 60))
    furrows = np.minimum(np.abs(_clouds(random, size, cells)), np.abs(_clouds(random, size, cells)))
    picture = _lay(picture, tuple(0.8 * tone), 0.5 * np.clip(1 - 5 * furrows, 0, 1))
    for x, y in random.uniform(-1, 1, (int(random.integers(0, 90)), 2)):
        _spot(picture, tuple(0.75 * tone), x, y, 0.012, 0.012, 0.5)
    if random.random() < 0.5:
        picture = _lay(
            picture, (58, 42, 34), 0.6 * _strokes(random, size, int(random.integers(3, 25)), 0.005)
        )
    return picture * _light(random, size)


def _close_up(random: np.random.Generator, size: int) -> np.ndarray:
    """A clinical photo: a small lesion on skin, uneven light, the body's edge in some."""
    picture = _plain_skin(random, size)
    place, radius = random.uniform(-0.25, 0.25, 2), random.uniform(0.06, 0.25)
    cover = _blob(random, size, place, radius, random.uniform(0.05, 0.2), soft=random.uniform(0.1, 0.4))
    spot = picture * SPOTS[random.integers(len(SPOTS))] * (1 + 0.06 * _clouds(random, size, 14)[..., None])
    picture = _lay_all(picture, spot, random.uniform(0.7, 1) * cover)
    if random.random() < 0.4:  # a limb before cloth or a wall: it gets darker where it curves away
        x, y = _turned(size, random.uniform(0, 2 * np.pi))
        edge = random.uniform(0.45, 0.8) + 0.1 * y**2
        picture = picture * (1 - 0.6 * np.clip(1 - (edge - x) / 0.5, 0, 1) ** 2)[..., None]
        picture = _lay(picture, CLOTHS[random.integers(len(CLOTHS))], np.clip((x - edge) * 60, 0, 1))
    return picture


def _coin(random: np.random.Generator, size: int) -> np.ndarray:
    picture, radius = _table(random, size), random.uniform(0.5, 0.85)
    metal = np.array([random.uniform(150, 190), random.uniform(95, 125), random.uniform(50, 80)])
    picture = _shadowed(picture, 0.0, 0.0, radius)
    _spot(picture, tuple(metal), 0, 0, radius, 0.02)
    relief = _blob(random, size, np.zeros(2), 0.5 * radius, 0.5)
    x, y = _plane(size)
    letters = (np.sin(40 * np.arctan2(y, x)) > 0.2) * (np.abs(np.hypot(x, y) / radius - 0.8) < 0.05)
    raised = _soft(relief + letters + (np.abs(np.hypot(x, y) / radius - 0.95) < 0.025), size / 150)
    slope = np.gradient(raised, axis=0) + np.gradient(raised, axis=1)
    return picture - 300 * (slope * _disc(size, 0, 0, radius, 0.02))[..., None]


def _cup(random: np.random.Generator, size: int) -> np.ndarray:
    """Coffee from above."""
    picture, radius = _table(random, size), random.uniform(0.4, 0.6)
    china = tuple(random.uniform(200, 245) * np.array([1, 0.99, 0.97]))
    if random.random() < 0.6:
        picture = _shadowed(picture, 0, 0, 1.6 * radius)
        _spot(picture, china, 0, 0, 1.6 * radius, 0.02)
    picture = _shadowed(picture, 0, 0, radius)
    _bar(picture, china, radius, -0.07, radius * 1.5, 0.07)  # its handle, from above a bar
    _spot(picture, china, 0, 0, radius, 0.02)
    _spot(picture, (64, 34, 18), 0, 0, 0.88 * radius, 0.02)
    picture = _lay(picture, (150, 96, 56), 0.7 * _blob(random, size, np.zeros(2), 0.6 * radius, 0.5))
    _spot(picture, (250, 240, 230), -0.3 * radius, -0.4 * radius, 0.1, 0.05, 0.8)
    return picture


def _cookie(random: np.random.Generator, size: int) -> np.ndarray:
    radius = random.uniform(0.5, 0.8)
    picture = _table(random, size)
    picture = _shadowed(picture, 0, 0, radius)
    dough = np.array([206, 154, 96]) + 10 * (_clouds(random, size, 30) + _clouds(random, size, 8))[..., None]
    cover = _blob(random, size, np.zeros(2), radius, 0.06, soft=0.02)[..., None]
    picture = picture + (dough * (1 - 0.3 * np.hypot(*_plane(size))[..., None] ** 4) - picture) * cover
    for _ in range(int(random.integers(6, 14))):
        away, angle = radius * 0.8 * np.sqrt(random.random()), random.uniform(0, 2 * np.pi)
        place = away * np.array([np.cos(angle), np.sin(angle)])
        picture = _lay(
            picture, (62, 36, 24), _blob(random, size, place, random.uniform(0.04, 0.1), 0.3, soft=0.02)
        )
    return picture


def _button(random: np.random.Generator, size: int) -> np.ndarray:
    picture, radius = _weave(random, size), random.uniform(0.45, 0.75)
    brown = tuple(np.array([112, 70, 42]) * random.uniform(0.6, 1.4))
    picture = _shadowed(picture, 0, 0, radius)
    _spot(picture, brown, 0, 0, radius, 0.02)
    _spot(picture, tuple(0.8 * np.array(brown)), 0, 0, 0.75 * radius, 0.03)
    _spot(picture, (235, 215, 190), -0.45 * radius, -0.5 * radius, 0.25, 0.2, 0.35)
    for x in (-1, 1):
        for y in (-1, 1):
            _spot(picture, (30, 20, 16), 0.2 * radius * x, 0.2 * radius * y, 0.1 * radius, 0.02)
    return picture


def _egg(random: np.random.Generator, size: int) -> np.ndarray:
    x, y = _plane(size)
    radius = random.uniform(0.5, 0.75)
    distance = np.hypot(x / (0.78 + 0.14 * y), y) / radius
    shell = np.array([random.uniform(190, 215), random.uniform(135, 155), random.uniform(95, 115)])
    lit = 1.1 - 0.55 * np.clip(np.hypot(x + 0.25, y + 0.3) / (1.5 * radius), 0, 1) ** 2
    picture = _shadowed(_table(random, size), 0.05, 0.05, 0.9 * radius)
    return _lay_all(picture, shell * lit[..., None], np.clip((1 - distance) * 30, 0, 1))


def _log(random: np.random.Generator, size: int) -> np.ndarray:
    """A sawn log's end, with its rings."""
    x, y = _plane(size)
    radius = random.uniform(0.6, 0.9)
    away = np.hypot(x - 0.1, y + 0.05) + 0.03 * _clouds(random, size, 5)
    wood = np.array([196, 150, 100]) - 26 * np.sin(random.uniform(35, 70) * away)[..., None]
    picture = _grass(random, size)
    _spot(picture, (74, 54, 40), 0, 0, radius, 0.03)
    return _lay_all(picture, wood, _disc(size, 0, 0, 0.93 * radius, 0.02))


def _landscape(random: np.random.Generator, size: int) -> np.ndarray:
    x, y = _plane(size)
    sky = np.array([120, 165, 220]) + 60 * (y[..., None] + 1) * np.array([1, 0.7, 0.2])
    picture = _lay(sky, (245, 245, 245), np.clip(0.5 * _fractal(random, size), 0, 0.9))
    for height, colour in ((0.0, (96, 120, 140)), (0.2, (84, 116, 78)), (0.45, (112, 140, 62))):
        ridge = height + 0.15 * np.sin(random.uniform(2, 5) * x + random.uniform(0, 6))
        picture = _lay(picture, colour, np.clip((y - ridge) * 60, 0, 1))
    picture = picture + 8 * _fractal(random, size)[..., None] * (y > 0)[..., None]
    left = random.uniform(-0.7, 0.2)
    _bar(picture, (222, 206, 180), left, 0.1, left + 0.5, 0.5)
    _bar(picture, (150, 62, 48), left - 0.05, -0.05, left + 0.55, 0.12)
    for window in (0.08, 0.3):
        _bar(picture, (60, 70, 90), left + window, 0.2, left + window + 0.12, 0.34)
    trunk = left + random.uniform(0.65, 0.75)
    _bar(picture, (80, 58, 40), trunk - 0.03, 0.1, trunk + 0.03, 0.6)
    return _lay(picture, (48, 92, 42), _blob(random, size, np.array([trunk, -0.05]), 0.28, 0.15, soft=0.03))


def _town(random: np.random.Generator, size: int) -> np.ndarray:
    picture = np.full((size, size, 3), [190.0, 205, 220])
    left = -1.0
    while left < 1:
        width, top = random.uniform(0.25, 0.6), random.uniform(-0.8, 0.1)
        wall = tuple(random.uniform(90, 220) * random.uniform(0.85, 1, 3))
        _bar(picture, wall, left, top, left + width, 0.8)
        for x in np.arange(left + 0.05, left + width - 0.08, 0.13):
            for y in np.arange(top + 0.08, 0.65, 0.18):
                glass = (250, 230, 150) if random.random() < 0.2 else (50, 60, 80)
                _bar(picture, glass, x, y, x + 0.07, y + 0.1)
        left += width
    _bar(picture, (92, 92, 96), -1, 0.8, 1, 1)
    return picture + 5 * _fractal(random, size)[..., None]


def _portrait(random: np.random.Generator, size: int) -> np.ndarray:
    x, y = _plane(size)
    tone = np.array(SKIN[random.integers(len(SKIN))])
    wall = np.array(CLOTHS[random.integers(len(CLOTHS))]) + 15 * _clouds(random, size, 3)[..., None]
    picture = _lay(wall, CLOTHS[random.integers(len(CLOTHS))], np.hypot(x / 0.9, (y - 1.1) / 0.6) < 1)
    hair = tuple(np.array([70, 48, 34]) * random.uniform(0.4, 2.2))
    picture = _lay(picture, hair, np.hypot(x / 0.48, (y + 0.22) / 0.58) < 1)
    lit = 1.05 - 0.25 * (x + 0.2) ** 2
    picture = _lay_all(picture, tone * lit[..., None], np.hypot(x / 0.38, (y + 0.05) / 0.5) < 1)
    for side in (-0.15, 0.15):
        picture = _lay(picture, (245, 245, 245), np.hypot((x - side) / 0.07, (y + 0.12) / 0.035) < 1)
        _spot(picture, (60, 45, 35), side, -0.12, 0.03, 0.01)
        _bar(picture, hair, side - 0.08, -0.23, side + 0.08, -0.2)
    _bar(picture, tuple(0.8 * tone), -0.03, -0.05, 0.03, 0.1)
    return _blurred(_lay(picture, (170, 80, 80), np.hypot(x / 0.13, (y - 0.24) / 0.03) < 1), size / 250)


def _fruit(random: np.random.Generator, size: int) -> np.ndarray:
    picture = _table(random, size)
    for x, y in random.uniform(-0.8, 0.8, (7, 2)):
        radius = random.uniform(0.15, 0.35)
        colour = np.array([(190, 40, 40), (230, 190, 60), (120, 170, 60), (235, 130, 40)][random.integers(4)])
        picture = _shadowed(picture, x, y, radius)
        _spot(picture, tuple(0.75 * colour), x, y, radius, 0.02)
        _spot(picture, tuple(1.1 * colour), x - 0.2 * radius, y - 0.2 * radius, radius / 2, radius, 0.8)
        _bar(picture, (90, 70, 40), x - 0.015, y - 0.1, x + 0.015, y)
    return picture


def _page(random: np.random.Generator, size: int) -> np.ndarray:
    """A page of text: lines of words, of strokes."""
    picture = np.full((size, size, 3), random.uniform(225, 250))
    pen_height = random.uniform(0.03, 0.06)
    for top in np.arange(-0.9, 0.85, 2.2 * pen_height):
        left = -0.85
        while left < 0.8:
            word = random.uniform(0.08, 0.3)
            for x in np.arange(left, min(left + word, 0.85), 0.7 * pen_height):
                start = top + random.uniform(0, 0.4) * pen_height
                _bar(picture, (40, 40, 44), x, start, x + 0.3 * pen_height, top + pen_height)
            left += word + 0.04
    return picture * _light(random, size)


def _chart(random: np.random.Generator, size: int) -> np.ndarray:
    """A window on a screen with a bar chart."""
    picture = np.full((size, size, 3), 246.0)
    _bar(picture, (48, 84, 150), -1, -1, 1, -0.85)
    for line in np.arange(-0.6, 0.8, 0.2):
        _bar(picture, (205, 205, 205), -0.8, line, 0.9, line + 0.01)
    for x in np.arange(-0.75, 0.8, 0.22):
        colour = tuple(random.uniform(30, 230, 3))
        _bar(picture, colour, x, random.uniform(-0.6, 0.6), x + 0.15, 0.8)
    return picture


def _wood(random: np.random.Generator, size: int) -> np.ndarray:
    x, y = _turned(size, np.pi / 2 * random.integers(2))
    grain = np.sin(random.uniform(20, 60) * (x + 0.1 * _clouds(random, size, 3) + 0.04 * y))
    return (
        np.array([160, 112, 70]) * random.uniform(0.6, 1.2)
        + (18 * grain + 6 * _fractal(random, size))[..., None]
    )


def _weave(random: np.random.Generator, size: int) -> np.ndarray:
    x, y = _turned(size, random.uniform(0, np.pi))
    threads = random.uniform(60, 140)
    pattern = np.where(
        np.sin(threads * x) * np.sin(threads * y) > 0, np.sin(2 * threads * x), np.sin(2 * threads * y)
    )
    return np.array(CLOTHS[random.integers(len(CLOTHS))]) * (0.9 + 0.14 * pattern)[..., None]


def _bricks(random: np.random.Generator, size: int) -> np.ndarray:
    picture = np.full((size, size, 3), 188.0)
    height = random.uniform(0.12, 0.25)
    for row, top in enumerate(np.arange(-1, 1, height)):
        for left in np.arange(-1 - height * (row % 2), 1, 2.2 * height):
            brick = tuple(np.array([164, 84, 62]) * random.uniform(0.75, 1.15))
            _bar(picture, brick, left, top, left + 2.1 * height, top + 0.88 * height)
    return picture + 8 * _fractal(random, size)[..., None]


def _grass(random: np.random.Generator, size: int) -> np.ndarray:
    picture = np.full((size, size, 3), [58.0, 84, 34])
    for _ in range(6):
        green = tuple(np.array([96, 140, 52]) * random.uniform(0.5, 1.5))
        picture = _lay(picture, green, 0.9 * _strokes(random, size, 60, 0.008, length=0.25))
    return picture


def _gravel(random: np.random.Generator, size: int) -> np.ndarray:
    picture = np.full((size, size, 3), 70.0)
    for x, y in random.uniform(-1.1, 1.1, (int(random.integers(150, 400)), 2)):
        radius, grey = random.uniform(0.04, 0.12), random.uniform(110, 220)
        stone = np.array([1, 0.97, 0.92]) * grey
        _spot(picture, tuple(0.6 * stone), x + 0.03, y + 0.03, radius, 0.03)
        _spot(picture, tuple(stone), x, y, radius, 0.03)
    return picture


def _marble(random: np.random.Generator, size: int) -> np.ndarray:
    veins = np.abs(_fractal(random, size))
    tint = random.uniform(0.85, 1, 3)
    return (140 + 80 * np.clip(3 * veins, 0, 1))[..., None] * tint


def _white_noise(random: np.random.Generator, size: int) -> np.ndarray:
    return random.uniform(0, 255, (size, size, 3))


def _coarse_noise(random: np.random.Generator, size: int) -> np.ndarray:
    cells = int(random.integers(4, 60))
    return 128 + 60 * np.stack([_clouds(random, size, cells) for _ in range(3)], axis=-1)


def _fractal_noise(random: np.random.Generator, size: int) -> np.ndarray:
    return 128 + 60 * np.stack([_fractal(random, size) for _ in range(3)], axis=-1)


def _flat(random: np.random.Generator, size: int) -> np.ndarray:
    return np.broadcast_to(random.uniform(0, 255, 3), (size, size, 3)).copy()


def _gradient(random: np.random.Generator, size: int) -> np.ndarray:
    x, _ = _turned(size, random.uniform(0, 2 * np.pi))
    start, end = random.uniform(0, 255, (2, 3))
    return start + (end - start) * np.clip((x + 1) / 2, 0, 1)[..., None]


DECOYS: dict[str, tuple[Drawing, ...]] = {
    "plain skin, drawn": (_plain_skin,),
    "clinical close-ups, drawn": (_close_up,),
    "round brown things, drawn": (_coin, _cup, _cookie, _button, _egg, _log),
    "everyday scenes, drawn": (_landscape, _town, _portrait, _fruit),
    "pages and screens, drawn": (_page, _chart),
    "textures, drawn": (_wood, _weave, _bricks, _grass, _gravel, _marble),
    "noise": (_white_noise, _coarse_noise, _fractal_noise),
    "flat colours and gradients": (_flat, _gradient),
}


def _plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x, y of every pixel, -1 to 1: float (size, size) each. All lengths below are in these units."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def _turned(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = _plane(size)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _lay(picture: np.ndarray, colour: tuple[float, ...], cover: np.ndarray) -> np.ndarray:
    """Lay a colour over a picture. picture: float (H, W, 3); cover: float (H, W), 0 to 1."""
    return picture + (np.array(colour) - picture) * cover[..., None]


def _lay_all(picture: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lay one picture over another."""
    return picture + (above - picture) * cover[..., None]


def _disc(size: int, x: float, y: float, radius: float, edge: float) -> np.ndarray:
    """float (size, size), 1 inside, falling to 0 over `edge`."""
    across, down = _plane(size)
    return np.clip((radius - np.hypot(across - x, down - y)) / edge + 0.5, 0, 1)


def _spot(
    picture: np.ndarray, colour: Colour, x: float, y: float, radius: float, edge: float, strength: float = 1
) -> None:
    """Lay a disc over a picture, in place, touching only the pixels around it."""
    size = len(picture)
    across, down = (
        _span(size, x - radius - edge, x + radius + edge),
        _span(size, y - radius - edge, y + radius + edge),
    )
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    distance = np.hypot(axis[across] - x, axis[down, None] - y)
    cover = strength * np.clip((radius - distance) / edge + 0.5, 0, 1)
    picture[down, across] = _lay(picture[down, across], colour, cover)


def _bar(picture: np.ndarray, colour: Colour, left: float, top: float, right: float, bottom: float) -> None:
    """Fill an upright rectangle, in place."""
    picture[_span(len(picture), top, bottom), _span(len(picture), left, right)] = colour


def _span(size: int, start: float, end: float) -> slice:
    """The pixels between two places on an axis."""
    return slice(max(0, round((start + 1) * size / 2)), max(0, round((end + 1) * size / 2)))


def _blob(
    random: np.random.Generator, size: int, place: np.ndarray, radius: float, ragged: float, soft: float = 0.1
) -> np.ndarray:
    """A ragged disc with a border of `soft` times its radius."""
    x, y = _plane(size)
    x, y = x - place[0], y - place[1]
    angle = np.arctan2(y, x)
    outline = np.ones_like(x)
    for waves in range(2, 8):
        outline += ragged * random.normal(0, 1 / waves) * np.cos(waves * angle + random.uniform(0, 6.3))
    return np.clip((1 - np.hypot(x, y) / (radius * np.maximum(outline, 0.2))) / soft + 0.5, 0, 1)


def _shadowed(picture: np.ndarray, x: float, y: float, radius: float) -> np.ndarray:
    """With the shadow of a round thing that is lit from the upper left."""
    picture = picture.copy()
    _spot(picture, (25, 22, 20), x + 0.06, y + 0.06, radius, 0.12, 0.5)
    return picture


def _table(random: np.random.Generator, size: int) -> np.ndarray:
    """What things lie on."""
    kind = random.integers(4)
    if kind == 0:
        return _wood(random, size)
    if kind == 1:
        return _weave(random, size)
    grey = random.uniform(60, 240)
    flat = grey * random.uniform(0.9, 1, 3) + 3 * _fractal(random, size)[..., None]
    return flat * _light(random, size)


def _light(random: np.random.Generator, size: int) -> np.ndarray:
    """Light from one side. float (size, size, 1), about 0.6 to 1.1."""
    x, _ = _turned(size, random.uniform(0, 2 * np.pi))
    return (1 - random.uniform(0.05, 0.25) * (x + 0.3))[..., None]


def _clouds(random: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise of about unit variance. float (size, size) from a grid of cells x cells."""
    coarse = Image.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _fractal(random: np.random.Generator, size: int) -> np.ndarray:
    """Noise of all scales, like clouds. float (size, size), about unit variance."""
    octaves = [_clouds(random, size, cells) / (i + 1) for i, cells in enumerate((3, 6, 12, 24, 48, 96))]
    return np.sum(octaves, axis=0) / 1.2


def _strokes(
    random: np.random.Generator, size: int, number: int, thickness: float, length: float = 1.2
) -> np.ndarray:
    """Thin curved lines. float (size, size), 1 on a line."""
    scale = 2  # drawn twice as large and reduced, because Pillow's lines are jagged
    mask = Image.new("L", (size * scale, size * scale))
    pen = ImageDraw.Draw(mask)
    t = np.linspace(0, 1, 12)[:, None]
    for start, bend, end in random.uniform(-1, 1, (number, 3, 2)):
        start = (start + 1) * size * scale / 2
        bend, end = start + bend * length * size * scale / 4, start + end * length * size * scale / 2
        curve = start * (1 - t) ** 2 + bend * 2 * t * (1 - t) + end * t**2
        pen.line(
            [tuple(point) for point in curve.tolist()], fill=255, width=max(1, round(thickness * mask.width))
        )
    return np.asarray(mask.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255


def _soft(values: np.ndarray, radius: float) -> np.ndarray:
    """A Gaussian blur of float (H, W) in [0, 1]."""
    image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """A Gaussian blur of float (H, W, 3) in [0, 255]."""
    return 255 * np.stack([_soft(picture[..., i] / 255, radius) for i in range(3)], axis=-1)
