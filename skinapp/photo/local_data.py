"""Where a data set's photos lie: for training, and for thumbnails of similar cases where there is a local copy."""

import os
import re
from pathlib import Path

VARIABLE = "SKINAPP_DATA"  # names the folder of a local copy
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
# An image id is a file's name without its ending: no separator, no leading dot, nothing that a path could be made of.
IMAGE_ID = re.compile(r"\w[\w .-]{0,99}", re.ASCII)


def image_folders(folder: Path) -> list[Path]:
    """The folders with a data set's photos: the publisher's `HAM10000_images_part_1` and `_2`, else `images`, else none."""
    parts = sorted(path for path in folder.glob("HAM10000_images_part_*") if path.is_dir())
    return parts or [path for path in [folder / "images"] if path.is_dir()]


def find_photo(image_id: str) -> Path | None:
    """The file of a photo in the data set that SKINAPP_DATA names; None where there is none or nothing is set.

    Whatever `image_id` is, the path is that of a file that lies in one of the data set's image folders, links followed.
    """
    named = os.environ.get(VARIABLE)
    if not named or not IMAGE_ID.fullmatch(image_id):
        return None
    for folder in image_folders(Path(named)):
        inside = folder.resolve()
        for suffix in sorted(SUFFIXES):
            path = (inside / f"{image_id}{suffix}").resolve()
            if path.parent == inside and path.is_file():
                return path
    return None
