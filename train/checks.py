"""How often the photo checks find something: on untouched lesions, where they should not, and on damaged copies, where they should.

python -m train.checks --data DIR     # half a minute; report lesions
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

from skinapp.photo.checks import check_square
from skinapp.photo.preprocess import Frame, framed
from train.commands import in_one_sentence
from train.dataset import DatasetError, read_records, split_lesions

SIDE = 256  # pixels a side of the squares that are damaged: what the blur's radius refers to
CHECKS = ("size", "sharp", "lit", "corners", "framed")


def _vignette(square: Image.Image) -> Image.Image:
    """A dermatoscope's round rim."""
    light = Image.radial_gradient("L").resize(square.size).point(lambda away: 255 * (away < 165))
    return Image.composite(square, Image.new("RGB", square.size), light)


DAMAGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "untouched": lambda square: square,
    "blurred by 1.3 of 256 pixels": lambda square: square.filter(ImageFilter.GaussianBlur(1.3)),
    "blurred by 2 of 256 pixels": lambda square: square.filter(ImageFilter.GaussianBlur(2)),
    "half as bright": lambda square: ImageEnhance.Brightness(square).enhance(0.5),
    "1.5 times as bright": lambda square: ImageEnhance.Brightness(square).enhance(1.5),
    "a round dark rim": _vignette,
    "the upper left 59 %": lambda square: framed(square, Frame(x=0, y=0, side=0.59)),
}


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Measure the photo checks.")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    options = parser.parse_args(arguments)
    found: dict[str, Counter[str]] = {damage: Counter() for damage in DAMAGES}
    everything = read_records(options.data)
    split = split_lesions(everything)
    records = [record for record in everything if split[record.lesion_id] == "report"]
    if not records:
        raise DatasetError(f"{options.data} has too few lesions: none of them is left for report.")
    for record in records:
        square = framed(record.photo(), Frame()).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        for damage, damaged in DAMAGES.items():
            checks = check_square(damaged(square), SIDE)
            found[damage].update(check.name for check in checks if not check.passed)
    print(f"{len(records)} report photos: share that each check finds fault with\n")
    print("| copy | " + " | ".join(CHECKS) + " |\n|---|" + "---|" * len(CHECKS))
    for damage, counts in found.items():
        print(f"| {damage} | " + " | ".join(f"{counts[name] / len(records):.1%}" for name in CHECKS) + " |")


if __name__ == "__main__":
    sys.exit(main())
