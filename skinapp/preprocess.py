"""From a photo to the network's input: one way, shared by training, evaluation and the app.

Everything that touches pixels before the network is here:
bytes or file -> `open_photo` (upright RGB picture) -> `centre_square` -> `to_input` (float32 batch of one).
"""

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
SMALLEST_SIDE = 94  # below this, the network would be shown pixels that the camera never saw
MOST_PIXELS = 50_000_000  # a 50-megapixel RGB picture takes 150 MB; dermatoscopes deliver 1 to 24
MOST_BYTES = 40 * 1024 * 1024

RESAMPLING = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Pillow warns of bombs and broken EXIF; our own limits stand below. Once, since a filter per call is not thread-safe.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class Frame:
    """Which square of a photo is read. Default: the largest centred one.

    turns: quarter turns clockwise before cutting; x, y: the square's middle as shares of the turned photo's width and
    height; side: its side as a share of the shorter one, at most 1. A square over the edge is moved inside.
    """

    turns: int = 0
    x: float = 0.5
    y: float = 0.5
    side: float = 1.0


class PhotoError(ValueError):
    """A photo that cannot be read; its text is one sentence for the user: what is wrong and what to do."""


def open_photo(source: bytes | str | os.PathLike[str]) -> Image.Image:
    """Decode a photo and set it upright.

    source: the bytes of an image file, or its path -> Pillow image, mode RGB, EXIF orientation applied, no metadata.
    Transparent parts are laid on black, as in a dermatoscope's dark rim.
    Raises PhotoError for whatever is no single JPEG, PNG, WebP, BMP or TIFF picture of 94 pixels a side to
    50 megapixels in grey or RGB colours.
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    if not data:
        raise PhotoError("This file is empty: choose a JPEG or PNG photo.")
    if len(data) > MOST_BYTES:
        raise PhotoError(
            f"This file is larger than {MOST_BYTES // 2**20} MB: save the photo as a smaller JPEG."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_unsuitable(image)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise PhotoError(_too_large()) from None
    except UnidentifiedImageError:
        raise PhotoError(
            "This file is not a picture that can be read here: choose a JPEG or PNG photo."
        ) from None
    except MemoryError:
        raise PhotoError("This photo needs more memory than there is: save it as a smaller JPEG.") from None
    except Exception:  # noqa: BLE001  # Pillow's plugins raise nearly every kind of error on damaged files
        raise PhotoError("This picture is damaged or cut short: export or copy it again.") from None


def centre_square(image: Image.Image) -> Image.Image:
    """Cut the largest centred square. image: Pillow image (W, H) -> Pillow image (S, S), S = min(W, H)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def turned(image: Image.Image, turns: int) -> Image.Image:
    """A copy after quarter turns clockwise. image: Pillow image (W, H) -> (W, H) or (H, W)."""
    quarters = turns % 4
    if not quarters:
        return image.copy()
    return image.transpose(
        (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)[quarters - 1]
    )


def framed(image: Image.Image, frame: Frame) -> Image.Image:
    """Turn, and cut the frame's square. image: Pillow image (W, H) -> Pillow image (S, S), at least 94 pixels a side."""
    if frame.turns % 4:
        image = turned(image, frame.turns)
    shorter = min(image.size)
    side = max(min(SMALLEST_SIDE, shorter), min(shorter, round(frame.side * shorter)))
    left = min(max(int(frame.x * image.width - side / 2), 0), image.width - side)
    top = min(max(int(frame.y * image.height - side / 2), 0), image.height - side)
    return image.crop((left, top, left + side, top + side))


def to_pixels(image: Image.Image, size: int, resampling: str) -> np.ndarray:
    """The centre square at another size. image: RGB Pillow image of any shape -> uint8 (size, size, 3).

    `size` and `resampling` (a key of RESAMPLING) come from the model's configuration. Pillow's filters are antialiased.
    """
    return np.asarray(centre_square(image).resize((size, size), RESAMPLING[resampling]))


def to_input(image: Image.Image, size: int, resampling: str) -> np.ndarray:
    """The network's input. image: RGB Pillow image of any shape -> float32 (1, size, size, 3) in [0, 255]."""
    return to_pixels(image, size, resampling).astype(np.float32)[np.newaxis]


def _read(path: Path) -> bytes:
    """The file's bytes; of one whose size nobody tells, at most one more than is allowed, so that the caller sees it."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe may never end
            raise PhotoError("This is no file: name a JPEG or PNG photo.")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise PhotoError(_too_heavy())
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PhotoError(
            f"This file cannot be opened ({error.strerror}): check its name and rights."
        ) from None


def _too_heavy() -> str:
    return f"This file is larger than {MOST_BYTES // 2**20} MB: save the photo as a smaller JPEG."


def _too_large() -> str:
    return f"This picture has more than {MOST_PIXELS // 10**6} megapixels: reduce it and try again."


def _refuse_unsuitable(image: Image.Image) -> None:
    """Judge by the header alone, before any pixel is unpacked."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise PhotoError(_too_large())
    if min(width, height) < SMALLEST_SIDE:
        raise PhotoError(
            f"This picture has {width} x {height} pixels; at least {SMALLEST_SIDE} on each side are needed: "
            "take the photo at a higher resolution."
        )
    if _holds_several(image):
        raise PhotoError("This file holds more than one picture: save the one to be read as JPEG or PNG.")
    sixteen_bits = image.mode.startswith("I;16")
    if (
        sixteen_bits and image.format == "TIFF"
    ):  # Pillow also calls 12 bits so, and 16 bits with white stored as zero
        tags = getattr(image, "tag_v2", {})
        if tags.get(258) != (16,) or tags.get(262) != 1:
            raise PhotoError(
                "This TIFF's grey values cannot be read faithfully as they are stored: save it as PNG."
            )
    if not sixteen_bits and image.mode not in {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}:
        raise PhotoError(
            f"This picture's colours are stored as {image.mode}, which cannot be read faithfully: "
            "save it as an RGB JPEG or PNG."
        )


def _holds_several(image: Image.Image) -> bool:
    if image.format == "MPO":  # the JPEG of phones that append a second view; the first one is the photo
        return False
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:  # counting the pages of a TIFF takes minutes where somebody made thousands
        image.seek(1)
    except EOFError:
        image.seek(0)
        return False
    return True


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(
        "I;16"
    ):  # 16-bit grey: Pillow's own conversion would clip everything above 255 to white
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in {"LA", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", coloured.size, "black"), coloured)
    rgb = image.convert("RGB")
    rgb.info = {}  # EXIF, GPS and comments go no further
    return rgb
