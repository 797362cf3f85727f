"""From a photo to the network's input: one way, shared by training, evaluation and the app.

Everything that touches pixels before the network is here:
bytes or file -> `open_photo` (upright picture in sRGB) -> `centre_square` -> `to_input` (float32 batch of one).
Which kinds of file there are, and what makes one too dear, is in `files`; other colours than sRGB are in `colours`; DICOM, which few send, is in `dicom`.
"""

import logging
import os
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from skinapp.photo.colours import bmp_profile, in_srgb, png_profile, told_profile
from skinapp.photo.files import (
    SMALLEST_SIDE,
    Limits,
    Metered,
    PhotoError,
    check_cost,
    kind_of,
    orientation,
    own_jpeg,
    refusal_by_name,
    without_app_data,
)

LIMITS = Limits.from_environment()
MOST_BYTES = LIMITS.most_bytes  # what the servers in front of `open_photo` let through

# Pixels on the short side that a decoder which can reduce must leave: enough for the square that people see (512) and
# twice what the largest network sees (224).
ENOUGH = 512

RESAMPLING = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Pillow warns of bombs and broken EXIF, and logs what tags say: our own limits stand below, and no tag gets into a log.
# Once, since a filter per call is not thread-safe.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)


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


def open_photo(
    source: bytes | str | os.PathLike[str], enough: int | None = ENOUGH, limits: Limits = LIMITS
) -> Image.Image:
    """Decode a photo and set it upright.

    source: the bytes of an image file, or its path -> Pillow image, mode RGB in sRGB, upright, no metadata but
    `colours.IGNORED` in its `info` where the file tells its colours in a way that cannot be used.
    Of a JPEG, the decoder makes a half, quarter or eighth where `enough` pixels remain on the short side and the size can
    be divided evenly, which takes a fraction of the time; None decodes every pixel. Training, evaluation and whoever reads the whole
    square leave `enough` as it is and so see the same pixels; the page asks for as many of the part that it reads. Pictures below
    1024 pixels a side, like those of HAM10000, are never reduced.
    Transparent parts are laid on black, as in a dermatoscope's dark rim.
    Raises PhotoError for whatever is no single JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM picture of 94 pixels a side to
    `limits` (50 megapixels) in grey or RGB colours. Of a HEIC the primary picture is read, of a DICOM file the first frame.
    """
    data = source if isinstance(source, bytes) else _read(Path(source), limits)
    if not data:
        raise PhotoError("This file is empty: choose a JPEG or PNG photo.")
    limits.check_bytes(len(data))
    kind = kind_of(data)
    if not kind:
        raise PhotoError(refusal_by_name(data))
    try:
        return _decode(data, kind, enough, limits)
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise PhotoError(limits.too_large) from None
    except MemoryError:
        raise PhotoError("This photo needs more memory than there is: save it as a smaller JPEG.") from None
    except Exception:  # noqa: BLE001  # decoders raise nearly every kind of error on damaged files
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


def _read(path: Path, limits: Limits) -> bytes:
    """The file's bytes; of one whose size nobody tells, at most one more than is allowed, so that the caller sees it."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe may never end
            raise PhotoError("This is no file: name a JPEG or PNG photo.")
        with path.open("rb") as file:
            limits.check_bytes(os.fstat(file.fileno()).st_size)
            return file.read(limits.most_bytes + 1)
    except PhotoError:
        raise
    except ValueError:  # a list of names may hold what no file can be called
        raise PhotoError("This is no file's name: check the list that it comes from.") from None
    except OSError as error:
        raise PhotoError(
            f"This file cannot be opened ({error.strerror}): check its name and rights."
        ) from None


def _decode(data: bytes, kind: str, enough: int | None, limits: Limits) -> Image.Image:
    """Judge by the header alone, before any pixel is unpacked; then unpack."""
    if kind == "DICOM":
        from skinapp.photo.dicom import open_dicom  # pydicom is loaded by those who need it

        picture, profile = open_dicom(data, limits)
        return in_srgb(_to_rgb(picture), profile, _even_scale(picture.size, enough))
    check_cost(data, kind)
    exif, profile = b"", None
    if kind == "JPEG":
        data, exif = without_app_data(own_jpeg(data))
    elif kind == "PNG":
        data, profile = png_profile(data)
    elif kind == "BMP":
        profile = bmp_profile(data)
    elif kind == "HEIF":
        _learn_heif()
    with Image.open(Metered(data), formats=[kind]) as image:
        limits.check_picture(*image.size)
        _refuse_unsuitable(image)
        scale = _even_scale(image.size, enough)
        if scale > 1 and kind == "JPEG":  # the decoder itself makes fewer pixels
            image.draft(None, (image.width // scale, image.height // scale))
            scale = 1
        image.load()
        turn = _UPRIGHT.get(orientation(exif or _exif(image, kind)))
        if profile is None:
            profile = told_profile(image)
        return in_srgb(_to_rgb(image if turn is None else image.transpose(turn)), profile, scale)


def _even_scale(size: tuple[int, int], enough: int | None) -> int:
    """8, 4 or 2 where so many pixels a side can be made one, and the centre square keeps its place to the pixel; else 1.

    Where its edges fell between two of the reduced pixels, it would be shifted, by up to 40 grey levels at a sharp edge.
    """
    width, height = size
    margin = abs(width - height) // 2
    for scale in (8, 4, 2):
        if enough and min(size) >= scale * enough and not (width % scale or height % scale or margin % scale):
            return scale
    return 1


def _exif(image: Image.Image, kind: str) -> bytes:
    """The EXIF block of a loaded picture that is still to be set upright."""
    if kind in ("HEIF", "TIFF"):  # their decoders have turned it already
        return b""
    if (
        "exif" not in image.info and "Raw profile type exif" in image.info
    ):  # ImageMagick's way with PNG, in hexadecimal
        return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    return image.info.get("exif", b"")


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def _learn_heif() -> None:
    """Tell Pillow of HEIC, with the picture itself and nothing beside it."""
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _refuse_unsuitable(image: Image.Image) -> None:
    """Refuse several pictures in one file, and colours that Pillow does not read faithfully."""
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise PhotoError("This file holds more than one picture: save the one to be read as JPEG or PNG.")
    if image.format == "TIFF" and image.info.get("compression") in ("lzma", "webp"):
        # The one takes seconds for noise; the other libtiff may lack, and says so on standard error by itself.
        raise PhotoError(
            "This TIFF is compressed by LZMA or as WebP, which is not read here: save it as PNG or JPEG."
        )
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
