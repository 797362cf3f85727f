"""Mutilated photos of every kind through the decoder: each gives a picture or one sentence, in time. SKINAPP_FUZZ_CASES sets
how many (200 of them in CI, always the same ones; `make stress` sends more, new ones every time)."""

import io
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile
from pillow_heif import register_heif_opener

from skinapp.photo.colours import IGNORED, in_srgb
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import PhotoError, open_photo
from tests.test_colours import ADOBE_RGB, P3, WRITERS, with_chunk
from tests.test_dicom import CONTRADICTORY, READ

CASES = int(os.environ.get("SKINAPP_FUZZ_CASES", "200"))
SECONDS = 5.0


def _photos() -> dict[str, bytes]:
    """One small photo of every kind that is read, with metadata where the kind has any."""
    register_heif_opener()
    drawn = draw_lesion("mel", size=(128, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "description"
    exif.get_ifd(0x8825)[29] = "2020:01:01"
    kinds = {
        "jpeg": ("JPEG", drawn, {"exif": exif}),
        "progressive jpeg": ("JPEG", drawn, {"progressive": True, "icc_profile": bytes(500)}),
        "png": ("PNG", drawn, {"exif": exif}),
        "png with palette": ("PNG", drawn.quantize(16), {"transparency": 3}),
        "webp": ("WEBP", drawn, {"exif": exif}),
        "lossless webp": ("WEBP", drawn.convert("RGBA"), {"lossless": True}),
        "bmp": ("BMP", drawn.quantize(16), {}),
        "tiff": ("TIFF", drawn, {"exif": exif}),
        "lzw tiff": ("TIFF", drawn, {"compression": "tiff_lzw"}),
        "jpeg tiff": ("TIFF", drawn, {"compression": "jpeg"}),
        "heic": ("HEIF", drawn, {"exif": exif.tobytes()}),
    }
    photos = {}
    for name, (form, image, options) in kinds.items():
        file = io.BytesIO()
        image.save(file, form, **options)
        photos[name] = file.getvalue()
    for name in ("jpeg", "jpeg in parts", "png", "tiff", "webp", "heic", "bmp", "dicom"):
        photos[f"{name} with a profile"] = WRITERS[name](P3)
    photos["jpeg with a second picture and a film"] = photos["jpeg"] + photos["progressive jpeg"] + bytes(999)
    photos["png with code points"] = with_chunk(photos["png"], b"cICP", bytes([9, 16, 0, 1]))
    photos |= {f"dicom, {name}": READ[name][0] for name in ("rgb", "palette", "jpeg", "jpeg 2000")}
    odd = ("jpeg that says nothing, ybr", "jpeg 2000 of ybr, called ict", "rgb, called 422")
    return photos | {f"dicom, {name}": CONTRADICTORY[name] for name in odd}


PHOTOS = _photos()
# What parsers stumble over: extreme lengths and counts beside anything else.
PIECES = st.one_of(
    st.sampled_from([b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xd8"]),
    st.binary(min_size=1, max_size=8),
)  # fmt: skip
CUTS = st.tuples(
    st.sampled_from(["write", "insert", "delete", "repeat", "cut"]), st.integers(0, 2**32), PIECES
)


# Where profiles, EXIF, second pictures and a DICOM's tags of its pixels begin.
MARKS = (
    b"ICC_PROFILE",
    b"iCCP",
    b"ICCP",
    b"acsp",
    b"cICP",
    b"nclx",
    b"Exif",
    b"MPF\0",
    b"\x28\0\2\0",
    b"\x28\0\4\0",
    b"\xff\xc0",
    b"\xff\x51",
)


def mutilated(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """data with each change made: two in four of them in its first kilobyte, where headers are, one behind one of MARKS."""
    for how, place, piece in changes:
        where, offset = place % 4, place >> 2
        marks = [data.index(mark) for mark in MARKS if mark in data]
        if not data:
            at = 0
        elif where == 1 and marks:
            at = (marks[offset % len(marks)] + (offset >> 4) % 256) % len(data)
        else:
            at = offset % (len(data) if where == 0 else min(len(data), 1024))
        if how == "write":
            data = data[:at] + piece + data[at + len(piece) :]
        elif how == "insert":
            data = data[:at] + piece + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + 16 * len(piece) :]
        elif how == "repeat":
            data = data[:at] + data[at : at + 64] * 40 + data[at:]
        else:
            data = data[:at]
    return data


def check(data: bytes) -> None:
    """A picture without metadata or one sentence, in time."""
    started = time.process_time()  # of this process: a busy machine is no fault of the decoder
    try:
        photo = open_photo(data)
    except PhotoError as error:
        text = str(error)
        assert text.endswith(".") and "\n" not in text and 20 < len(text) < 250
        assert "description" not in text
    else:
        assert photo.mode == "RGB" and photo.info.keys() <= {IGNORED} and min(photo.size) >= 94
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("kind", PHOTOS)
def test_the_photos_themselves_are_read(kind: str) -> None:
    assert min(open_photo(PHOTOS[kind]).size) >= 94


@settings(
    max_examples=CASES,
    derandomize=CASES <= 200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.sampled_from(sorted(PHOTOS)), st.lists(CUTS, min_size=1, max_size=4))
def test_mutilated_photos(kind: str, changes: list[tuple[str, int, bytes]]) -> None:
    check(mutilated(PHOTOS[kind], changes))


@settings(max_examples=CASES // 2, derandomize=CASES <= 200, deadline=None, database=None)
@given(
    st.sampled_from([P3, ADOBE_RGB, ImageCmsProfile(createProfile("sRGB")).tobytes()]),
    st.lists(CUTS, min_size=1, max_size=4),
)
def test_mutilated_profiles(profile: bytes, changes: list[tuple[str, int, bytes]]) -> None:
    """Where no format's own checks stand before littleCMS."""
    started = time.process_time()
    photo = in_srgb(Image.new("RGB", (100, 100), "tan"), mutilated(profile, changes))
    assert photo.size == (100, 100) and photo.info.keys() <= {IGNORED}
    assert time.process_time() - started < SECONDS


@settings(max_examples=max(10, CASES // 10), derandomize=CASES <= 200, deadline=None, database=None)
@given(st.sampled_from(sorted(PHOTOS)), st.integers(0, 150), st.binary(max_size=300))
def test_rubbish_after_a_true_beginning(kind: str, length: int, rubbish: bytes) -> None:
    check(PHOTOS[kind][:length] + rubbish)
