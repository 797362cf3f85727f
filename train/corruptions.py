"""How well a model stands damaged photos: fifteen corruptions at five strengths each.

    python -m train.corruptions --data DIR [--model DIR] [--views N]

writes corruptions.csv into the model folder. The fifteen are those that MedMNIST-C (Di Salvo 2024, arXiv:2406.17536)
names for dermatoscopic photos; code and amounts are our own, so the figures are not to be set beside published ones.
Noise and JPEG have grains of 1/256 of the picture's shorter side, and all lengths are shares of that side, so that
pictures of 256 and of 450 pixels are damaged alike.

Measured on some of the report lesions (`subset`): at most forty photos of each class are not the natural mix, which the
probabilities presume. Accuracy and calibration error (ECE) are those of that subset, to be compared with its own clean
line ("none", strength 0), not with those of `train.evaluate`.
"""

import argparse
import io
import string
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from scipy.signal import fftconvolve
from tqdm import tqdm

from skinapp.figures.evaluation import headline
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.folders import MODELS
from skinapp.photo.preprocess import centre_square, to_pixels
from train.commands import in_one_sentence
from train.dataset import DatasetError, Record, read_records, split_lesions
from train.documents.measurements import read_rows, write_rows

Corruption = Callable[[Image.Image, int, np.random.Generator], Image.Image]
Damage = Callable[[Image.Image, float, np.random.Generator], Image.Image]

STRENGTHS = (1, 2, 3, 4, 5)
PHOTOS_PER_CLASS = 40  # of HAM10000's report photos 205 remain; all 840 would take an hour
GRAINS = 256  # across the shorter side: the size of our copy of HAM10000, on which noise is then per pixel
ENLARGEMENTS = 20  # averaged for a zoom blur: enough that no double contours are seen
LETTERS = 40  # drawn at random for each photo, of which the strength says how many are shown
SEED = 2406
CLEAN = "none"
FIGURES = "corruptions.csv"  # in the model folder


@dataclass(frozen=True)
class CorruptionFigures:
    """The figures at one corruption and strength: one line of corruptions.csv.

    corruption: a key of CORRUPTIONS, or "none" with strength 0; views: mirrored and turned copies that were averaged; macro_auc: None where it is undefined;
    mean_top_probability: how sure the model is, right or wrong.
    """

    corruption: str
    strength: int
    photos: int
    views: int
    accuracy: float
    balanced_accuracy: float
    macro_auc: float | None
    ece: float
    mean_top_probability: float


def _graded(damage: Damage, *amounts: float) -> Corruption:
    """A corruption by strength from a damage by amount."""

    def corruption(image: Image.Image, strength: int, generator: np.random.Generator) -> Image.Image:
        if strength not in STRENGTHS:
            raise ValueError(f"The strength of a corruption is 1 to 5, not {strength}.")
        return damage(image, amounts[strength - 1], generator)

    return corruption


def _pixelate(image: Image.Image, blocks: float, generator: np.random.Generator) -> Image.Image:
    """blocks: across the shorter side; a picture of fewer pixels than that stays as it is."""
    small = image.resize(_grid(image, blocks), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def _jpeg_compression(image: Image.Image, quality: float, generator: np.random.Generator) -> Image.Image:
    def compress(pixels: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        _picture(pixels).save(file, "JPEG", quality=int(quality))
        return np.asarray(Image.open(file), np.float32)

    return _on_grains(image, compress)


def _gaussian_noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Image.Image:
    """deviation: in grey levels."""
    return _on_grains(image, lambda pixels: pixels + deviation * generator.standard_normal(pixels.shape))


def _speckle_noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Image.Image:
    """deviation: as a share of each value."""
    return _on_grains(
        image, lambda pixels: pixels * (1 + deviation * generator.standard_normal(pixels.shape))
    )


def _impulse_noise(image: Image.Image, share: float, generator: np.random.Generator) -> Image.Image:
    """Salt and pepper. share: of the values that become 0 or 255."""

    def scatter(pixels: np.ndarray) -> np.ndarray:
        drawn = generator.random(pixels.shape)
        return np.where(drawn < share / 2, 0.0, np.where(drawn > 1 - share / 2, 255.0, pixels))

    return _on_grains(image, scatter)


def _shot_noise(image: Image.Image, photons: float, generator: np.random.Generator) -> Image.Image:
    """photons: that a white grain collects."""
    return _on_grains(image, lambda pixels: generator.poisson(pixels / 255 * photons) / photons * 255)


def _defocus_blur(image: Image.Image, radius: float, generator: np.random.Generator) -> Image.Image:
    """radius: of the disc that a point becomes, as a share of the shorter side."""
    radius *= min(image.size)
    x, y = _around_zero(radius)
    return _blurred(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def _motion_blur(image: Image.Image, length: float, generator: np.random.Generator) -> Image.Image:
    """length: of the line, at a random angle, that a point becomes, as a share of the shorter side."""
    half, angle = length * min(image.size) / 2, generator.uniform(0, np.pi)
    x, y = _around_zero(half)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return _blurred(image, np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1))


def _zoom_blur(image: Image.Image, furthest: float, generator: np.random.Generator) -> Image.Image:
    """furthest: the largest enlargement of those that are averaged."""
    total = np.zeros((image.height, image.width, 3))
    for enlargement in np.linspace(1, furthest, ENLARGEMENTS):
        left, top = ((side - side / enlargement) / 2 for side in image.size)
        box = (left, top, image.width - left, image.height - top)
        total += np.asarray(image.resize(image.size, Image.Resampling.BILINEAR, box))
    return _picture(total / ENLARGEMENTS)


def _brightness(image: Image.Image, factor: float, generator: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Image.Image, factor: float, generator: np.random.Generator) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _black_corner(image: Image.Image, radius: float, generator: np.random.Generator) -> Image.Image:
    """A dermatoscope's dark rim, not quite centred. radius: of what is left to see, in half shorter sides."""
    half = min(image.size) / 2
    left, top = generator.uniform(-0.06, 0.06, 2) * half
    y, x = np.mgrid[: image.height, : image.width] + 0.5
    away = np.hypot(x - image.width / 2 - left, y - image.height / 2 - top)
    seen = np.clip((radius * half - away) / (0.02 * half) + 0.5, 0, 1)  # the rim is a little out of focus
    return _picture(np.asarray(image) * seen[..., None])


def _characters(image: Image.Image, number: float, generator: np.random.Generator) -> Image.Image:
    """Letters and digits written into the photo, white with a dark outline. number: at most LETTERS."""
    letters = generator.choice(list(string.ascii_uppercase + string.digits), LETTERS)
    places = generator.uniform(0.04, 0.96, (LETTERS, 2)) * image.size
    side = min(image.size)
    font = ImageFont.load_default(0.1 * side)
    written = image.copy()
    pen = ImageDraw.Draw(written)
    for letter, (x, y) in list(zip(letters.tolist(), places.tolist(), strict=True))[: int(number)]:
        pen.text((x, y), letter, "white", font, "mm", stroke_width=0.006 * side, stroke_fill="black")
    return written


# RGB Pillow image of at least 64 pixels a side, strength 1 to 5, generator -> RGB Pillow image of the same size. A
# generator in the same state gives the same damage, at a greater strength more of it. Any other strength: ValueError.
# Strong enough at 5 to show where a model breaks, while the eye still finds the lesion.
CORRUPTIONS: dict[str, Corruption] = {
    "pixelate": _graded(_pixelate, 110, 72, 48, 34, 24),
    "jpeg_compression": _graded(_jpeg_compression, 30, 20, 12, 8, 5),
    "gaussian_noise": _graded(_gaussian_noise, 15, 28, 42, 60, 85),
    "speckle_noise": _graded(_speckle_noise, 0.10, 0.18, 0.28, 0.40, 0.55),
    "impulse_noise": _graded(_impulse_noise, 0.03, 0.07, 0.12, 0.19, 0.28),
    "shot_noise": _graded(_shot_noise, 80, 35, 16, 8, 4),
    "defocus_blur": _graded(_defocus_blur, 0.008, 0.014, 0.022, 0.032, 0.045),
    "motion_blur": _graded(_motion_blur, 0.03, 0.06, 0.09, 0.13, 0.18),
    "zoom_blur": _graded(_zoom_blur, 1.06, 1.11, 1.17, 1.24, 1.32),
    "brightness_up": _graded(_brightness, 1.1, 1.2, 1.31, 1.43, 1.56),
    "brightness_down": _graded(_brightness, 0.8, 0.65, 0.52, 0.4, 0.3),
    "contrast_up": _graded(_contrast, 1.2, 1.4, 1.65, 1.9, 2.2),
    "contrast_down": _graded(_contrast, 0.8, 0.63, 0.48, 0.35, 0.25),
    "black_corner": _graded(_black_corner, 1.3, 1.16, 1.03, 0.92, 0.8),
    "characters": _graded(_characters, 3, 7, 13, 22, 34),
}
CONDITIONS = ((CLEAN, 0), *((corruption, strength) for corruption in CORRUPTIONS for strength in STRENGTHS))


def corrupted(photo: Image.Image, image_id: str, corruption: str, strength: int) -> Image.Image:
    """The photo as it is measured, the same whenever it is asked for. Clean for "none"."""
    if corruption == CLEAN:
        return photo
    return CORRUPTIONS[corruption](photo, strength, np.random.default_rng([SEED, *image_id.encode()]))


def subset(
    records: Iterable[Record],
    split: Mapping[str, str],
    part: str = "report",
    photos_per_class: int = PHOTOS_PER_CLASS,
) -> tuple[Record, ...]:
    """At most so many photos a class of one part, sorted by image_id: always the same, in any order of `records`.

    A second photo of a lesion is taken only where a class has too few lesions. split: lesion_id -> part.
    """
    by_class: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=lambda record: record.image_id):
        if split[record.lesion_id] == part:
            by_class[record.dx][record.lesion_id].append(record)
    chosen: list[Record] = []
    for dx, lesions in by_class.items():
        order = np.random.default_rng([SEED, CODES.index(dx)]).permutation(sorted(lesions))
        rounds = zip_longest(*(lesions[lesion] for lesion in order))
        chosen += [record for each in rounds for record in each if record is not None][:photos_per_class]
    return tuple(sorted(chosen, key=lambda record: record.image_id))


def measure(
    classifier: Classifier,
    records: Sequence[Record],
    conditions: Sequence[tuple[str, int]] = CONDITIONS,
) -> tuple[CorruptionFigures, ...]:
    """Damage each photo as it is stored, its centre square, then reduce it and predict as the app does.

    conditions: corruption and strength. Raises DatasetError for an unreadable photo.
    """
    configuration = classifier.configuration
    photos = {record.image_id: centre_square(record.photo()) for record in records}
    labels = np.array([CODES.index(record.dx) for record in records])
    rows = []
    for corruption, strength in tqdm(conditions, desc=f"corruptions, {classifier.name}", disable=None):
        pictures = [
            to_pixels(
                corrupted(photo, image_id, corruption, strength),
                configuration.input_size,
                configuration.resampling,
            )
            for image_id, photo in photos.items()
        ]
        shown = configuration.probabilities(classifier.logits(np.stack(pictures)))
        all_figures = headline(labels, shown)
        figures = {name: all_figures[name] for name in ("accuracy", "balanced_accuracy", "macro_auc", "ece")}
        rows.append(
            CorruptionFigures(
                corruption=corruption,
                strength=strength,
                photos=len(photos),
                views=configuration.views,
                **figures,  # type: ignore[arg-type]  # only macro_auc can be None
                mean_top_probability=float(shown.max(1).mean()),
            )
        )
    return tuple(rows)


def write_corruptions(folder: Path, rows: Iterable[CorruptionFigures]) -> None:
    """Write corruptions.csv into a model folder, one line a corruption and strength."""
    write_rows(folder / FIGURES, rows, CorruptionFigures)


def read_corruptions(folder: Path) -> tuple[CorruptionFigures, ...]:
    """A model folder's corruptions.csv; nothing where it was not measured. Raises ValueError where it is another table."""
    return read_rows(folder / FIGURES, CorruptionFigures, "train.corruptions")


def _grid(image: Image.Image, across: float) -> tuple[int, int]:
    """Width and height of a grid with `across` cells along the picture's shorter side."""
    return (
        round(image.width * across / min(image.size)),
        round(image.height * across / min(image.size)),
    )


def _on_grains(image: Image.Image, damage: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Damage a copy of GRAINS pixels, and lay the difference that it makes over the picture in its own size.

    damage: float32 (h, w, 3) in [0, 255] -> float (h, w, 3), of any range.
    """
    small = np.asarray(image.resize(_grid(image, GRAINS), Image.Resampling.BOX), np.float32)
    difference = (damage(small) - small).astype(np.float32)
    layers = [  # Pillow resizes floats one channel at a time
        np.asarray(Image.fromarray(difference[..., channel]).resize(image.size, Image.Resampling.BOX))
        for channel in range(3)
    ]
    return _picture(np.asarray(image) + np.stack(layers, axis=-1))


def _around_zero(reach: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a kernel's pixels, 0 in its middle: float (k, k) each, k odd, at least `reach` each way."""
    whole = int(np.ceil(reach))
    y, x = np.mgrid[-whole : whole + 1, -whole : whole + 1].astype(float)
    return x, y


def _blurred(image: Image.Image, kernel: np.ndarray) -> Image.Image:
    """Convolve with a kernel, float (k, k), k odd, scaled to sum 1; the picture is mirrored at its edges."""
    reach = len(kernel) // 2
    padded = np.pad(np.asarray(image, float), ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    return _picture(fftconvolve(padded, kernel[..., None] / kernel.sum(), "valid", axes=(0, 1)))


def _picture(pixels: np.ndarray) -> Image.Image:
    """float (H, W, 3) of any range -> RGB Pillow image, clipped and rounded."""
    return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Measure models on damaged photos of report lesions.")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--model", type=Path, help="only this model folder (default: all in model/)")
    parser.add_argument(
        "--views", type=int, choices=(1, 2, 4, 8), help="mirrored and turned copies, if not the model's own"
    )
    options = parser.parse_args(arguments)
    folders = [options.model] if options.model else sorted(p.parent for p in MODELS.glob("*/skinapp.json"))
    classifiers = [Classifier(folder) for folder in folders]
    everything = read_records(options.data)
    records = subset(everything, split_lesions(everything))
    if not records:
        raise DatasetError(f"{options.data} has too few lesions: none of them is left for report.")
    for classifier in classifiers:
        if options.views:  # before the first pass, which is traced with them
            classifier.configuration = replace(classifier.configuration, views=options.views)
        write_corruptions(classifier.folder, measure(classifier, records))


if __name__ == "__main__":
    sys.exit(main())
