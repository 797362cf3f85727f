"""DICOM photos, written here by pydicom from drawn lesions: every colour model and compression that is read, and refusals."""

import io
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

import skinapp.photo.dicom as dicom_module
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import Limits, PhotoError, open_photo

DRAWN = draw_lesion("mel", size=(200, 150))
PIXELS = np.asarray(DRAWN)
GREY = np.asarray(DRAWN.convert("L"))
YBR = np.asarray(DRAWN.convert("YCbCr"))
DERMOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.7"
PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"
ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SECRET = "Secret^Patient"


def dicom(
    pixels: bytes, colours: str, syntax: pydicom.uid.UID = ExplicitVRLittleEndian, **tags: Any
) -> bytes:
    """The bytes of a DICOM photo of DRAWN's size. pixels: as the transfer syntax wants them; tags: more, or other, of them."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DERMOSCOPIC, "1.2.3"
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    samples = 1 if colours in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR") else 3
    standard = {
        "SOPClassUID": DERMOSCOPIC, "SOPInstanceUID": "1.2.3", "Modality": "DMS", "PatientName": SECRET, "PatientID": SECRET,
        "Rows": DRAWN.height, "Columns": DRAWN.width, "SamplesPerPixel": samples, "PhotometricInterpretation": colours,
        "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PixelData": pixels,
    }  # fmt: skip
    for name, value in (standard | ({"PlanarConfiguration": 0} if samples == 3 else {}) | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        dataset["PixelData"].is_undefined_length = (
            syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian
        )
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def compressed(form: str, **options: Any) -> bytes:
    """DRAWN as the only frame, encapsulated."""
    file = io.BytesIO()
    DRAWN.save(file, form, **options)
    return encapsulate([file.getvalue()])


def palette() -> tuple[bytes, dict[str, Any]]:
    """DRAWN in 64 colours, and the tags of a 16-bit palette that gives them."""
    indexed = DRAWN.quantize(64)
    colours = np.array(indexed.getpalette()).reshape(-1, 3)[:64]
    tags: dict[str, Any] = {}
    for column, name in enumerate(("Red", "Green", "Blue")):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [len(colours), 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = (colours[:, column] * 257).astype("<u2").tobytes()
    return indexed.tobytes(), tags


def upsampled_422() -> bytes:
    """YBR_FULL_422: two luminances, then their common chrominances."""
    rows = YBR.reshape(-1, 2, 3)
    return np.stack([rows[:, 0, 0], rows[:, 1, 0], rows[:, 0, 1], rows[:, 0, 2]], axis=-1).tobytes()


RGB16 = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
RGB12 = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
INDEXED, PALETTE = palette()
READ: dict[str, tuple[bytes, np.ndarray, float]] = {
    "rgb": (dicom(PIXELS.tobytes(), "RGB"), PIXELS, 0),
    "implicit": (dicom(PIXELS.tobytes(), "RGB", ImplicitVRLittleEndian), PIXELS, 0),
    "big-endian": (dicom(PIXELS.tobytes(), "RGB", ExplicitVRBigEndian), PIXELS, 0),
    "planes": (dicom(PIXELS.transpose(2, 0, 1).tobytes(), "RGB", PlanarConfiguration=1), PIXELS, 0),
    "photographic": (dicom(PIXELS.tobytes(), "RGB", Modality="XC"), PIXELS, 0),
    "photographic, as endoscopy": (dicom(PIXELS.tobytes(), "RGB", Modality="ES", SOPClassUID=PHOTOGRAPHIC), PIXELS, 0),
    "dermoscopic, as microscopy": (dicom(PIXELS.tobytes(), "RGB", Modality="GM"), PIXELS, 0),
    "without preamble": (dicom(PIXELS.tobytes(), "RGB")[132:], PIXELS, 0),
    "secondary capture": (dicom(PIXELS.tobytes(), "RGB", Modality="OT", SOPClassUID=SECONDARY_CAPTURE), PIXELS, 0),
    "first of two frames": (dicom(PIXELS.tobytes() + bytes(PIXELS.size), "RGB", NumberOfFrames=2), PIXELS, 0),
    "16 bits": (dicom((PIXELS.astype("<u2") * 257).tobytes(), "RGB", **RGB16), PIXELS, 0),
    "12 of 16 bits": (dicom((PIXELS.astype("<u2") * 16).tobytes(), "RGB", **RGB12), PIXELS, 0),
    "ybr": (dicom(YBR.tobytes(), "YBR_FULL"), np.asarray(DRAWN.convert("YCbCr").convert("RGB")), 0),
    "ybr 422": (dicom(upsampled_422(), "YBR_FULL_422"), PIXELS, 2),
    "grey": (dicom(GREY.tobytes(), "MONOCHROME2"), np.stack([GREY] * 3, axis=-1), 0),
    "grey, white as zero": (dicom((255 - GREY).tobytes(), "MONOCHROME1"), np.stack([GREY] * 3, axis=-1), 0),
    "grey, 12 of 16 bits": (dicom((GREY.astype("<u2") * 16).tobytes(), "MONOCHROME2", **RGB12), np.stack([GREY] * 3, -1), 0),
    "palette": (dicom(INDEXED, "PALETTE COLOR", **PALETTE), np.asarray(DRAWN.quantize(64).convert("RGB")), 0),
    "jpeg": (dicom(compressed("JPEG", quality=95), "YBR_FULL_422", JPEGBaseline8Bit), PIXELS, 2),
    "jpeg, rgb inside": (dicom(compressed("JPEG", quality=95, keep_rgb=True), "RGB", JPEGBaseline8Bit), PIXELS, 2),
    "jpeg 2000": (dicom(compressed("JPEG2000", irreversible=False, no_jp2=True, mct=1), "YBR_RCT", JPEG2000Lossless), PIXELS, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_pixels_are_those_that_were_stored(case: str) -> None:
    data, expected, tolerance = READ[case]
    photo = open_photo(data)
    assert photo.mode == "RGB" and photo.size == DRAWN.size
    assert np.abs(np.asarray(photo).astype(int) - expected).mean() <= tolerance


def test_nothing_of_the_header_goes_further() -> None:
    for data, _, _ in READ.values():
        assert SECRET.encode() in data
        photo = open_photo(data)
        assert photo.info == {} and not photo.getexif()
        for form in ("PNG", "JPEG", "TIFF"):
            file = io.BytesIO()
            photo.save(file, form)
            assert b"Secret" not in file.getvalue()


def bare_jpeg() -> bytes:
    """DRAWN as a JPEG whose markers do not say which colours it holds."""
    file = io.BytesIO()
    DRAWN.save(file, "JPEG", quality=95)
    data = file.getvalue()
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def unnamed_jpeg(pixels: np.ndarray) -> bytes:
    """Three channels as they are, none of them reduced, in a JPEG that says nothing of them. pixels: uint8 (h, w, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(file, "JPEG", quality=95, keep_rgb=True)
    data = file.getvalue()
    adobe = data.index(b"\xff\xee")
    data = data[:adobe] + data[adobe + 16 :]
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    changed = bytearray(data)
    for number in range(3):
        changed[frame + 10 + 3 * number] = changed[scan + 5 + 2 * number] = number + 1
    return bytes(changed)


def jpeg_2000_of(pixels: np.ndarray, mct: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(file, "JPEG2000", mct=mct, no_jp2=True)
    return encapsulate([file.getvalue()])


J2K, J2K_YBR = jpeg_2000_of(PIXELS, 1), jpeg_2000_of(YBR, 0)
CONTRADICTORY: dict[str, bytes] = {
    "jpeg of reduced chrominance, called rgb": dicom(encapsulate([bare_jpeg()]), "RGB", JPEGBaseline8Bit),
    "jpeg with jfif, called rgb": dicom(compressed("JPEG", quality=95, subsampling=0), "RGB", JPEGBaseline8Bit),
    "jpeg of rgb, called ybr": dicom(compressed("JPEG", quality=95, keep_rgb=True), "YBR_FULL", JPEGBaseline8Bit),
    "jpeg that says nothing, rgb": dicom(encapsulate([unnamed_jpeg(PIXELS)]), "RGB", JPEGBaseline8Bit),
    "jpeg that says nothing, ybr": dicom(encapsulate([unnamed_jpeg(YBR)]), "YBR_FULL", JPEGBaseline8Bit),
    "jpeg, called 16 bits with 8 stored": dicom(compressed("JPEG", quality=95), "YBR_FULL_422", JPEGBaseline8Bit, BitsAllocated=16),
    "transformed jpeg 2000, called ybr": dicom(J2K, "YBR_FULL", JPEG2000Lossless),
    "transformed jpeg 2000, called rgb": dicom(J2K, "RGB", JPEG2000Lossless),
    "transformed jpeg 2000, called ict": dicom(J2K, "YBR_ICT", JPEG2000Lossless),
    "transformed jpeg 2000, called 16 bits with 8 stored": dicom(J2K, "YBR_RCT", JPEG2000Lossless, BitsAllocated=16),
    "jpeg 2000 of ybr, called ict": dicom(J2K_YBR, "YBR_ICT", JPEG2000Lossless),
    "jpeg 2000 of ybr, called so": dicom(J2K_YBR, "YBR_FULL", JPEG2000Lossless),
    "jpeg 2000 of rgb": dicom(jpeg_2000_of(PIXELS, 0), "RGB", JPEG2000Lossless),
    "rgb, called 422": dicom(PIXELS.tobytes(), "YBR_FULL_422"),
    "ybr of three bytes a pixel, called 422": dicom(YBR.tobytes(), "YBR_FULL_422"),
    "without planar configuration": dicom(PIXELS.tobytes(), "RGB", PlanarConfiguration=None),
    "without bits stored": dicom(PIXELS.tobytes(), "RGB", BitsStored=None, HighBit=None),
    "without samples and representation": dicom(PIXELS.tobytes(), "RGB", SamplesPerPixel=None, PixelRepresentation=None),
    "16 bits with the lower 8 stored": dicom(PIXELS.astype("<u2").tobytes(), "RGB", BitsAllocated=16),
    "16 bits with the upper 8 stored": dicom((PIXELS.astype("<u2") * 256).tobytes(), "RGB", BitsAllocated=16, HighBit=15),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTORY)
def test_what_the_picture_itself_says_decides(case: str) -> None:
    assert np.abs(np.asarray(open_photo(CONTRADICTORY[case])).astype(int) - PIXELS).mean() < 2.5


REFUSED: dict[str, tuple[bytes, str]] = {
    "ybr that says nothing, called rgb": (dicom(encapsulate([unnamed_jpeg(YBR)]), "RGB", JPEGBaseline8Bit), "PhotometricInterpretation"),
    "rgb that says nothing, called ybr": (dicom(encapsulate([unnamed_jpeg(PIXELS)]), "YBR_FULL", JPEGBaseline8Bit), "PhotometricInterpretation"),
    "jpeg 2000 of ybr, called rgb": (dicom(J2K_YBR, "RGB", JPEG2000Lossless), "PhotometricInterpretation"),
    "jpeg 2000 of rgb, called ict": (dicom(jpeg_2000_of(PIXELS, 0), "YBR_ICT", JPEG2000Lossless), "PhotometricInterpretation"),
    "jpeg 2000 without transform, called rct": (dicom(J2K_YBR, "YBR_RCT", JPEG2000Lossless), "PhotometricInterpretation"),
    "two bytes a pixel, called rgb": (dicom(upsampled_422(), "RGB"), "PhotometricInterpretation"),
    "one byte a pixel, called rgb": (dicom(GREY.tobytes(), "RGB"), "PhotometricInterpretation"),
    "without photometric interpretation": (dicom(PIXELS.tobytes(), "RGB", PhotometricInterpretation=None), "PhotometricInterpretation"),
    "computed tomography": (
        dicom(GREY.tobytes(), "MONOCHROME2", Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "no photo of the skin",
    ),
    "secondary capture of an MR": (
        dicom(PIXELS.tobytes(), "RGB", Modality="MR", SOPClassUID=SECONDARY_CAPTURE), "no photo of the skin",
    ),
    "endoscopy": (dicom(PIXELS.tobytes(), "RGB", Modality="ES", SOPClassUID=ENDOSCOPIC), "no photo of the skin"),
    "endoscopy, as other": (dicom(PIXELS.tobytes(), "RGB", Modality="OT", SOPClassUID=ENDOSCOPIC), "no photo of the skin"),
    "no pixels": (dicom(b"", "RGB", PixelData=None), "no picture"),
    "lossless jpeg": (dicom(encapsulate([bytes(99)]), "RGB", JPEGLSLossless), "JPEG-LS Lossless"),
    "rle": (dicom(encapsulate([bytes(99)]), "RGB", RLELossless), "RLE Lossless"),
    "signed": (dicom(GREY.tobytes(), "MONOCHROME2", PixelRepresentation=1), "faithfully"),
    "cmyk": (dicom(PIXELS.tobytes(), "CMYK"), "faithfully"),
    "small": (dicom(PIXELS.tobytes(), "RGB", Rows=93), "200 x 93"),
    "bomb": (dicom(PIXELS.tobytes(), "RGB", Rows=60000, Columns=60000), "50 megapixels"),
    "fewer pixels than promised": (dicom(PIXELS.tobytes(), "RGB", Rows=2000, Columns=2000), "damaged"),
    "another size in the frame": (
        dicom(compressed("JPEG"), "YBR_FULL_422", JPEGBaseline8Bit, Rows=100, Columns=100), "damaged",
    ),
    "cut short": (READ["jpeg"][0][:-2000], "damaged"),
    "preamble only": (bytes(128) + b"DICM", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_photo_is_refused_in_a_sentence(case: str) -> None:
    data, word = REFUSED[case]
    with pytest.raises(PhotoError, match=word) as caught:
        open_photo(data)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and "Secret" not in text and len(text) < 250


def test_a_deflated_file_is_refused_before_it_is_unpacked() -> None:
    head = dicom(PIXELS.tobytes(), "RGB", DeflatedExplicitVRLittleEndian)
    bomb = zlib.compressobj(9, wbits=-15)
    data = head[: head.index(b"1.2.840.10008.1.2.1.99") + 22] + bomb.compress(bytes(10**8)) + bomb.flush()
    with pytest.raises(PhotoError, match="deflate"):
        open_photo(data)


def jpeg_2000(side: int, **options: Any) -> bytes:
    """DRAWN, stretched to side x side pixels."""
    file = io.BytesIO()
    DRAWN.resize((side, side)).save(file, "JPEG2000", irreversible=False, no_jp2=True, mct=1, **options)
    return dicom(encapsulate([file.getvalue()]), "YBR_RCT", JPEG2000Lossless, Rows=side, Columns=side)


def test_a_large_jpeg_2000_is_read_in_a_smaller_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_module, "MOST_JPEG_2000", 15_000)
    photo = open_photo(jpeg_2000(400))
    assert photo.size == (100, 100)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(DRAWN.resize((100, 100)))).mean() < 4
    assert open_photo(jpeg_2000(120)).size == (120, 120)


def test_a_large_jpeg_2000_without_smaller_sizes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_module, "MOST_JPEG_2000", 15_000)
    with pytest.raises(PhotoError, match=r"more than 0.015 megapixels and no smaller size in it"):
        open_photo(jpeg_2000(400, num_resolutions=2))


def test_limits_hold_for_the_picture() -> None:
    with pytest.raises(PhotoError, match="0.02 megapixels"):
        open_photo(READ["rgb"][0], limits=Limits(most_pixels=20_000))


def test_neither_warnings_nor_logs_quote_the_header() -> None:
    """In a process of its own, with every log switched on: pydicom warns of values that break the standard's rules."""
    data = READ["rgb"][0].replace(b"1.2.840.10008.5.1.4", b"SECRET0.10008.5.1.4")  # no UID has letters
    assert b"SECRET" in data
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "from skinapp.photo.preprocess import open_photo\n"
        "print(open_photo(sys.stdin.buffer.read()).size)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], input=data, capture_output=True, check=True
    )
    assert run.stdout.strip() == b"(200, 150)"
    assert b"secret" not in run.stderr.lower()


def test_plain_photos_do_not_load_pydicom() -> None:
    file = io.BytesIO()
    DRAWN.save(file, "PNG")
    program = (
        "import sys; from skinapp.photo.preprocess import open_photo; open_photo(sys.stdin.buffer.read())\n"
        "print([name for name in ('pydicom', 'pillow_heif') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input=file.getvalue(), capture_output=True, check=True
    )
    assert run.stdout.strip() == b"[]"


def test_the_picture_is_not_shared_with_the_file() -> None:
    assert isinstance(open_photo(READ["grey"][0]), Image.Image)
    assert np.array_equal(np.asarray(open_photo(READ["rgb"][0])), PIXELS)
