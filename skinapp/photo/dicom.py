"""The first frame of a DICOM photo. Of the header, only what describes the pixels is read; it is neither kept nor shown.

Read: dermoscopic and visible-light photographs, and secondary captures, uncompressed or as JPEG (8 bits) or JPEG 2000,
which Pillow decodes; what JPEG 2000 holds in several sizes is read in one of some megapixels. RLE, JPEG-LS and lossless JPEG are refused by name: their decoders are slow, rare or under the GPL.
"""

import logging
import warnings
from typing import Any, cast

import numpy as np
import pydicom
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import UID, MediaStorageDirectoryStorage

from skinapp.photo.files import WITHOUT_PREAMBLE, Limits, Metered, PhotoError, check_cost, without_app_data

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
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *(f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
]  # fmt: skip


def open_dicom(data: bytes, limits: Limits) -> Image.Image:
    """The first frame. data: a DICOM file's bytes -> Pillow image, mode RGB or L, without metadata.

    Raises PhotoError for what is no photo or compressed in a way that is not read, and errors of every kind for damaged files.
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
    width, height = int(dataset.Columns), int(dataset.Rows)
    limits.check_picture(width, height)
    colours = str(dataset.PhotometricInterpretation)
    stored = int(dataset.BitsStored)
    if (
        colours not in COLOURS
        or dataset.PixelRepresentation != 0
        or not 8 <= stored <= dataset.BitsAllocated <= 16
    ):
        raise PhotoError(UNFAITHFUL)
    if syntax in JPEG_2000:
        return _jpeg_2000(dataset, colours)
    if syntax not in UNCOMPRESSED:
        _keep_checked_frame(dataset)
    pixels, found = get_decoder(syntax).as_array(dataset, index=0, raw=True)
    return _to_8_bits(pixels, str(found["photometric_interpretation"]), stored, dataset)


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


def _keep_checked_frame(dataset: pydicom.Dataset) -> None:
    """Leave only the first frame, a JPEG, once its own header is known to claim no other size than the DICOM header does."""
    frame = _first_frame(dataset)
    check_cost(frame, "JPEG")
    frame, _ = without_app_data(frame)
    with Image.open(Metered(frame), formats=["JPEG"]) as image:
        _check_size(image, dataset)
    dataset.PixelData, dataset.NumberOfFrames = encapsulate([frame]), 1
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(name, None)


def _jpeg_2000(dataset: pydicom.Dataset, colours: str) -> Image.Image:
    """The first frame, of which the decoder makes a half, quarter or eighth where it has more pixels than MOST_JPEG_2000."""
    frame = _first_frame(dataset)
    with Image.open(Metered(frame), formats=["JPEG2000"]) as opened:
        image = cast(Jpeg2KImageFile, opened)
        _check_size(image, dataset)
        # Reduced, a palette's indices would be mixed; and Pillow takes more than 8 bits of grey alone.
        if (
            colours == "PALETTE COLOR"
            or image.mode not in ("L", "I;16", "RGB")
            or (image.mode == "RGB" and dataset.BitsAllocated > 8)
        ):
            raise PhotoError(UNFAITHFUL)
        halvings = 0
        while image.width * image.height >> 2 * halvings > MOST_JPEG_2000:
            halvings += 1
        if (
            halvings > frame[frame.index(b"\xff\x52") + 9]
        ):  # the file holds its picture in so many smaller sizes
            raise PhotoError(
                f"This DICOM file's JPEG 2000 has more than {MOST_JPEG_2000 / 10**6} megapixels and no smaller size in it: "
                "export it as JPEG."
            )
        image.reduce = halvings  # type: ignore[method-assign, assignment]  # Pillow's way to tell its decoder
        pixels = np.asarray(image)
    return _to_8_bits(pixels, colours, 8 * pixels.dtype.itemsize, dataset)


def _to_8_bits(pixels: np.ndarray, colours: str, stored: int, dataset: pydicom.Dataset) -> Image.Image:
    """uint8 or uint16 (h, w) or (h, w, 3) with `stored` bits in use -> RGB or L."""
    if colours == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        colours, stored = "RGB", 8 * pixels.dtype.itemsize
    if stored > 8:
        pixels = pixels >> (stored - 8)
    pixels = pixels.astype(np.uint8)
    if colours == "MONOCHROME1":  # white is stored as zero
        return Image.fromarray(255 - pixels)
    if colours.startswith("YBR_FULL"):
        return Image.fromarray(pixels, "YCbCr").convert("RGB")
    return Image.fromarray(pixels)


def _compressed(name: str) -> str:
    shown = f" ({name})" if name else ""
    return f"This DICOM file is compressed in a way that is not read here{shown}: export it uncompressed or as JPEG."
