"""The first frame of a DICOM photo. Of the header, only what describes the pixels is read; it is neither kept nor shown.

Read: dermoscopic and visible-light photographs, and secondary captures, uncompressed or as JPEG (8 bits) or JPEG 2000,
which Pillow decodes; what JPEG 2000 holds in several sizes is read in one of some megapixels. RLE, JPEG-LS and
lossless JPEG are refused by name: their decoders are slow, rare or under the GPL.
"""

import logging
import warnings
from typing import Any, NoReturn, cast

import numpy as np
import pydicom
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import UID, MediaStorageDirectoryStorage

from skinapp.photo.files import WITHOUT_PREAMBLE, Limits, Metered, PhotoError, own_jpeg, without_app_data

# pydicom quotes header values, which may be patients' names, when it warns of those that break the standard's rules.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

PHOTO_MODALITIES = {"DMS", "XC"}  # dermoscopy, external-camera photography
# VL Photographic and Dermoscopic Photography Image Storage: photos, whatever modality a device writes beside them.
PHOTO_CLASSES = {"1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.77.1.7"}
# What devices of before 2019 export, of any modality; also with .1 to .4.
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
UNCOMPRESSED = {
    pydicom.uid.ImplicitVRLittleEndian,
    pydicom.uid.ExplicitVRLittleEndian,
    pydicom.uid.ExplicitVRBigEndian,
}
JPEG = {pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit}
JPEG_2000 = {pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEG2000}
COLOURS = {
    "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR",
}  # fmt: skip
# Pixels: of noise, they take a core three seconds; 49 megapixels would take twenty, and 1 GB.
MOST_JPEG_2000 = 2_500_000
PREAMBLE = bytes(128) + b"DICM"
DEFLATED = str(pydicom.uid.DeflatedExplicitVRLittleEndian).encode()

UNFAITHFUL = (
    "This DICOM file's colours cannot be read faithfully as they are stored: export it as JPEG or PNG."
)

# The only tags that pydicom keeps of the file. No segmented palettes: their runs can unpack to any length.
TAGS = [
    "SOPClassUID", "Modality", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "ICCProfile",
    *(f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
]  # fmt: skip


def open_dicom(data: bytes, limits: Limits) -> tuple[Image.Image, bytes | None]:
    """The first frame. data: a DICOM file's bytes -> Pillow image, mode RGB or L, without metadata, and its ICC profile, None
    where there is none.

    Where the header and the picture's own data disagree about its colours, the data decide. Raises PhotoError, which names the
    tag, where they cannot; for what is no photo or compressed in a way that is not read; and errors of every kind for damaged files.
    """
    if DEFLATED in data:  # pydicom would unpack the whole file first, however large it becomes
        raise PhotoError(_compressed("deflate"))
    if data.startswith(WITHOUT_PREAMBLE):
        data = PREAMBLE + data
    dataset = pydicom.dcmread(Metered(data), specific_tags=cast(Any, TAGS))
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not dataset and dataset.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
        raise ValueError("pydicom keeps nothing of a file that ends amid an element.")
    modality, sop_class = dataset.get("Modality") or "OT", str(dataset.get("SOPClassUID"))
    captured = modality == "OT" and f"{sop_class}.".startswith(f"{SECONDARY_CAPTURE}.")
    if sop_class not in PHOTO_CLASSES and modality not in PHOTO_MODALITIES and not captured:
        raise PhotoError(
            "This DICOM file holds no photo of the skin (modality DMS or XC): choose a dermatoscopic photo."
        )
    if "PixelData" not in dataset:
        raise PhotoError("This DICOM file holds no picture: export the photo again.")
    if syntax not in UNCOMPRESSED | JPEG | JPEG_2000:
        raise PhotoError(
            _compressed(syntax.name if syntax.is_transfer_syntax and not syntax.is_private else "")
        )
    _fill_in(dataset)
    limits.check_picture(int(dataset.Columns), int(dataset.Rows))
    colours = str(dataset.PhotometricInterpretation)
    if (
        colours not in COLOURS
        or dataset.PixelRepresentation != 0
        or not 8 <= dataset.BitsStored <= dataset.BitsAllocated <= 16
    ):
        raise PhotoError(UNFAITHFUL)
    if syntax in UNCOMPRESSED:
        image = _uncompressed(dataset, syntax, colours)
    else:
        image = (_jpeg_2000 if syntax in JPEG_2000 else _jpeg)(dataset, colours)
    return image, bytes(dataset["ICCProfile"].value) if dataset.get("ICCProfile") else None


def _fill_in(dataset: pydicom.Dataset) -> None:
    """What some devices leave out, where there is one obvious value. Raises PhotoError for what cannot be guessed."""
    for name in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"):
        if not dataset.get(name):
            raise PhotoError(f"This DICOM file lacks the tag {name}: export the photo again.")
    grey = str(dataset.PhotometricInterpretation) in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    obvious = {
        "SamplesPerPixel": 1 if grey else 3,
        "PlanarConfiguration": 0,
        "PixelRepresentation": 0,
        "BitsStored": dataset.BitsAllocated,
    }
    for name, value in obvious.items():
        if dataset.get(name) is None:
            setattr(dataset, name, value)
    if dataset.get("HighBit") is None:
        dataset.HighBit = dataset.BitsStored - 1


def _uncompressed(dataset: pydicom.Dataset, syntax: UID, colours: str) -> Image.Image:
    """The first frame, if there are as many bytes as its colours take."""
    places = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    samples = len(dataset.PixelData) / places / (dataset.BitsAllocated // 8)  # of each pixel
    if dataset.SamplesPerPixel == 3:
        if colours == "YBR_FULL_422" and samples >= 3:  # so many bytes hold all three colours of each pixel
            dataset.PhotometricInterpretation = "RGB"  # pydicom leaves colours so called as they are
            pixels = _decoded(dataset, syntax)
            return _converted(pixels, _looks(pixels) or _contradiction())
        if (colours in ("RGB", "YBR_FULL") and 2 <= samples < 3) or (
            colours != "YBR_FULL_422" and 1 <= samples < 2
        ):
            _contradiction(f"there are {samples:.3g} values for each pixel")
    highest = int(dataset.HighBit)
    if colours != "PALETTE COLOR":  # pydicom would clear what lies above BitsStored
        dataset.BitsStored = dataset.BitsAllocated
    return _to_8_bits(_decoded(dataset, syntax), colours, highest, dataset)


def _decoded(dataset: pydicom.Dataset, syntax: UID) -> np.ndarray:
    """The first frame as pydicom unpacks it, colours as they are stored."""
    return get_decoder(syntax).as_array(dataset, index=0, raw=True)[0]


def _first_frame(dataset: pydicom.Dataset) -> bytes:
    tables = (
        (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
        if "ExtendedOffsetTable" in dataset
        else None
    )
    frames = int(dataset.get("NumberOfFrames") or 1)
    return get_frame(dataset.PixelData, 0, number_of_frames=frames, extended_offsets=tables)


def _check_size(image: Image.Image, dataset: pydicom.Dataset) -> None:
    if image.size != (dataset.Columns, dataset.Rows):
        raise ValueError("The DICOM header and the frame disagree about the picture's size.")


def _jpeg(dataset: pydicom.Dataset, colours: str) -> Image.Image:
    """The first frame. A JPEG says by its markers, its components' names and their sizes whether it holds RGB or YCbCr; one
    that says nothing is taken for what the header says, where it also looks so."""
    frame, _ = without_app_data(own_jpeg(_first_frame(dataset)))
    silent = False
    with Image.open(Metered(frame), formats=["JPEG"]) as opened:
        image = cast(JpegImageFile, opened)
        _check_size(image, dataset)
        if image.mode not in ("L", "RGB") or colours == "PALETTE COLOR":
            raise PhotoError(UNFAITHFUL)
        named = image.mode == "L" or "jfif" in image.info or "adobe_transform" in image.info
        silent = not named and all(
            layer[:3] == (number, 1, 1) for number, layer in enumerate(image.layer, start=1)
        )
        if not silent:
            pixels = np.asarray(image)
            return Image.fromarray(255 - pixels if colours == "MONOCHROME1" and image.mode == "L" else pixels)
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # says that the colours are to be left as they are
    with Image.open(Metered(frame[:2] + adobe + frame[2:]), formats=["JPEG"]) as untransformed:
        pixels = np.asarray(untransformed)
    return _as_called(pixels, "RGB" if colours == "RGB" else "YBR")


def _jpeg_2000(dataset: pydicom.Dataset, colours: str) -> Image.Image:
    """The first frame, of which the decoder makes a half, quarter or eighth where it has more pixels than MOST_JPEG_2000."""
    frame = _first_frame(dataset)
    size, style = frame.index(b"\xff\x51"), frame.index(b"\xff\x52")
    with Image.open(Metered(frame), formats=["JPEG2000"]) as opened:
        image = cast(Jpeg2KImageFile, opened)
        _check_size(image, dataset)
        # Reduced, a palette's indices would be mixed; and Pillow takes more than 8 bits of grey alone.
        if (
            colours == "PALETTE COLOR"
            or image.mode not in ("L", "I;16", "RGB")
            or (image.mode == "RGB" and frame[size + 40] & 127 != 7)
        ):
            raise PhotoError(UNFAITHFUL)
        halvings = 0
        while image.width * image.height >> 2 * halvings > MOST_JPEG_2000:
            halvings += 1
        if halvings > frame[style + 9]:  # the file holds its picture in so many smaller sizes
            raise PhotoError(
                f"This DICOM file's JPEG 2000 has more than {MOST_JPEG_2000 / 10**6} megapixels and no smaller size in it: "
                "export it as JPEG."
            )
        image.reduce = halvings  # type: ignore[method-assign, assignment]  # Pillow's way to tell its decoder
        pixels = np.asarray(image)
    if pixels.ndim == 2:
        grey = "MONOCHROME1" if colours == "MONOCHROME1" else "MONOCHROME2"
        return _to_8_bits(pixels, grey, 8 * pixels.dtype.itemsize - 1, dataset)  # Pillow fills all bits
    if frame[style + 8]:  # the data name a colour transform, which the decoder has undone
        return Image.fromarray(pixels)
    if colours == "YBR_RCT":
        _contradiction("the picture was compressed without that transform")
    return _as_called(pixels, "RGB" if colours == "RGB" else "YBR")


def _looks(pixels: np.ndarray) -> str:
    """Whether three channels are "RGB" or "YBR", by how much the last two vary beside the first; "" where that does not tell.

    The limits were set on 600 photos drawn at random from four data sets: the smallest ratio of an RGB photo was .51, and 99.5 % of
    the same photos as YCbCr lay below .56; the largest was .86, so a few are told wrong. pixels: uint8 or uint16 (h, w, 3).
    """
    spread = pixels[::4, ::4].reshape(-1, 3).std(axis=0) + 0.5
    ratio = float(spread[1:].min() / spread[0])
    return "YBR" if ratio < 0.5 else "RGB" if ratio > 0.6 else ""


def _as_called(pixels: np.ndarray, called: str) -> Image.Image:
    """uint8 (h, w, 3) as the header calls it, "RGB" or "YBR". Raises PhotoError where it looks like the other one."""
    if _looks(pixels) not in (called, ""):
        _contradiction()
    return _converted(pixels, called)


def _converted(pixels: np.ndarray, colours: str) -> Image.Image:
    """uint8 (h, w, 3) of "RGB" or "YBR" -> RGB."""
    return Image.fromarray(pixels, "YCbCr").convert("RGB") if colours == "YBR" else Image.fromarray(pixels)


def _contradiction(reason: str = "its picture does not look as the tag says") -> NoReturn:
    raise PhotoError(
        f"This DICOM file's tag PhotometricInterpretation cannot be right, because {reason}: "
        "export the photo as JPEG or PNG."
    )


def _to_8_bits(pixels: np.ndarray, colours: str, highest: int, dataset: pydicom.Dataset) -> Image.Image:
    """uint8 or uint16 (h, w) or (h, w, 3) -> RGB or L. highest: the number of the highest bit in use, from 0."""
    if colours == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        colours, highest = "RGB", 8 * pixels.dtype.itemsize - 1
    if highest > 7:
        pixels = pixels >> (highest - 7)
    pixels = pixels.astype(np.uint8)
    if colours == "MONOCHROME1":  # white is stored as zero
        return Image.fromarray(255 - pixels)
    return _converted(pixels, "YBR" if colours.startswith("YBR_FULL") else "RGB")


def _compressed(name: str) -> str:
    shown = f" ({name})" if name else ""
    return f"This DICOM file is compressed in a way that is not read here{shown}: export it uncompressed or as JPEG."
