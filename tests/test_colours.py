"""Photos in other colours than sRGB give the same picture as their twins in sRGB, in every format that can say so."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from pillow_heif import register_heif_opener

from skinapp.network.classifier import Classifier
from skinapp.network.folders import model_folder
from skinapp.photo import colours
from skinapp.photo.colours import IGNORED, coded_profile, in_srgb
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import open_photo
from skinapp.reading import read
from tests.test_dicom import dicom

register_heif_opener()
DRAWN = draw_lesion("mel", size=(200, 150))
PIXELS = np.asarray(DRAWN).astype(int)
P3 = coded_profile(12, 13) or b""
ADOBE_RGB = colours._matrix_profile(
    ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), colours.D65), b"para" + struct.pack(">4x2Hi", 0, 0, 144179)
)


def wide(profile: bytes, image: Image.Image = DRAWN) -> Image.Image:
    """The same colours in a wider space."""
    made = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)), 1
    )
    assert made is not None
    made.info = {}
    return made


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">L", len(content)) + name + content
    return data[:33] + chunk + struct.pack(">L", zlib.crc32(name + content)) + data[33:]


def bmp(profile: bytes) -> bytes:
    """A BMP of version 5."""
    plain = saved(wide(profile), "BMP")
    head, pixels = plain[14:54], plain[54:]
    head = (
        b"\x7c\0\0\0"
        + head[4:]
        + bytes(16)
        + b"DEBM"
        + bytes(48)
        + struct.pack("<4L", 4, 124 + len(pixels), len(profile), 0)
    )
    return b"BM" + struct.pack("<LLL", 138 + len(pixels) + len(profile), 0, 138) + head + pixels + profile  # fmt: skip


def parts(profile: bytes) -> bytes:
    """A JPEG whose profile comes in four APP2 parts, the last one first."""
    size = len(profile) // 4 + 1
    segments = b""
    for number in (4, 1, 2, 3):
        part = b"ICC_PROFILE\0" + bytes([number, 4]) + profile[(number - 1) * size : number * size]
        segments += b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part
    data = saved(wide(profile), "JPEG", quality=98, subsampling=0)
    return data[:2] + segments + data[2:]


WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "jpeg": lambda icc: saved(wide(icc), "JPEG", quality=98, subsampling=0, icc_profile=icc),
    "jpeg in parts": parts,
    "png": lambda icc: saved(wide(icc), "PNG", icc_profile=icc),
    "png with transparent parts": lambda icc: saved(wide(icc).convert("RGBA"), "PNG", icc_profile=icc),
    "tiff": lambda icc: saved(wide(icc), "TIFF", icc_profile=icc),
    "webp": lambda icc: saved(wide(icc), "WEBP", lossless=True, icc_profile=icc),
    "heic": lambda icc: saved(wide(icc), "HEIF", quality=95, chroma=444, icc_profile=icc),
    "bmp": bmp,
    "dicom": lambda icc: dicom(wide(icc).tobytes(), "RGB", ICCProfile=icc),
}


@pytest.mark.parametrize("profile", [P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("form", WRITERS)
def test_a_profile_is_converted(form: str, profile: bytes) -> None:
    assert np.abs(np.asarray(wide(profile)).astype(int) - PIXELS).mean() > 3, "or else it would prove nothing"
    photo = open_photo(WRITERS[form](profile))
    assert photo.info == {}
    assert np.abs(np.asarray(photo).astype(int) - PIXELS).mean() < 1.5


def test_the_code_points_of_a_png_come_before_its_profile() -> None:
    data = with_chunk(saved(wide(P3), "PNG", icc_profile=ADOBE_RGB), b"cICP", bytes([12, 13, 0, 1]))
    assert np.abs(np.asarray(open_photo(data)).astype(int) - PIXELS).mean() < 1


def test_the_code_points_of_a_heic() -> None:
    options = {
        "color_primaries": 12,
        "transfer_characteristics": 13,
        "matrix_coefficients": 6,
        "full_range_flag": 1,
    }
    data = saved(wide(P3), "HEIF", quality=95, chroma=444, save_nclx_profile=True, **options)  # fmt: skip
    assert np.abs(np.asarray(open_photo(data)).astype(int) - PIXELS).mean() < 1.5


@pytest.mark.parametrize("codes", [(1, 13), (1, 1), (2, 2), (2, 13)])
def test_code_points_of_srgb_change_nothing(codes: tuple[int, int]) -> None:
    data = with_chunk(saved(DRAWN, "PNG"), b"cICP", bytes([*codes, 0, 1]))
    photo = open_photo(data)
    assert np.array_equal(np.asarray(photo), PIXELS) and photo.info == {}


def test_a_high_dynamic_range_is_shown_up_to_the_white_of_paper() -> None:
    """BT.2408: white paper, 203 cd/m2, is 58 % of the signal of PQ."""
    profile = coded_profile(9, 16)
    for signal, level in ((0.58, 255), (0.7, 255), (0.0, 0), (0.42, 123)):  # 40 cd/m2
        photo = in_srgb(Image.new("RGB", (4, 4), (round(signal * 255),) * 3), profile)
        assert photo.getpixel((0, 0)) == pytest.approx((level,) * 3, abs=6)


def test_a_profile_of_srgb_leaves_every_bit() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(np.asarray(open_photo(saved(DRAWN, "PNG", icc_profile=icc))), PIXELS)


GREY = P3[:16] + b"GRAY" + P3[20:]
UNUSABLE = {
    "nonsense": b"nonsense",
    "empty": b"\0",
    "cut short": P3[:300],
    "grey": GREY,
    "a device link": P3[:12] + b"link" + P3[16:],
    "too large": P3 + bytes(colours.MOST_PROFILE),
    "with processing elements": P3 + b"mpet",
}


@pytest.mark.parametrize("form", ["jpeg", "png", "tiff", "webp", "heic", "dicom", "bmp"])
@pytest.mark.parametrize("fault", UNUSABLE)
def test_an_unusable_profile_is_ignored_and_said(
    form: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_colours.wide", lambda profile: DRAWN)
    photo = open_photo(WRITERS[form](UNUSABLE[fault]))
    assert photo.info == {IGNORED: True}
    assert np.abs(np.asarray(photo).astype(int) - PIXELS).mean() < 1.5


def test_parts_of_a_profile_that_do_not_fit_together_are_said() -> None:
    data = parts(P3).replace(b"ICC_PROFILE\0\2\4", b"ICC_PROFILE\0\2\3")
    assert open_photo(data.replace(b"ICC_PROFILE\0\1\4", b"ICC_PROFILE\0\1\7")).info == {IGNORED: True}


def test_a_png_s_broken_profile_is_no_damaged_photo() -> None:
    for content in (
        b"name\0\0not packed",
        b"name\0\1",
        b"",
        b"name\0\0" + zlib.compress(P3)[:-9],
        b"n\0\0" + zlib.compress(bytes(9 * 2**20)),
    ):
        photo = open_photo(with_chunk(saved(DRAWN, "PNG"), b"iCCP", content))  # fmt: skip
        assert photo.info == {IGNORED: True} and np.array_equal(np.asarray(photo), PIXELS)


def test_the_probabilities_are_those_of_the_twin_in_srgb(tmp_path: Path) -> None:
    classifier = Classifier(model_folder("fast"))
    for code in ("mel", "vasc", "bkl"):
        drawn = draw_lesion(code, size=(600, 450))
        twin = read(saved(drawn, "PNG"), classifier)
        assert next(check for check in twin.checks if check.name == "colours").passed
        for profile in (P3, ADOBE_RGB):
            one = read(saved(wide(profile, drawn), "PNG", icc_profile=profile), classifier)
            assert one.prediction.probabilities == pytest.approx(twin.prediction.probabilities, abs=0.02)
    odd = read(saved(drawn, "PNG", icc_profile=b"nonsense"), classifier)
    (check,) = (check for check in odd.checks if check.name == "colours")
    assert not check.passed and "sRGB" in check.advice


def test_a_large_photo_is_reduced_before_it_is_converted() -> None:
    drawn = draw_lesion("nv", size=(1200, 1024))
    photo = open_photo(saved(wide(P3, drawn), "PNG", icc_profile=P3))
    assert photo.size == (600, 512)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(drawn.reduce(2))).mean() < 1
    assert open_photo(saved(wide(P3, drawn), "PNG", icc_profile=P3), enough=None).size == drawn.size
    assert open_photo(saved(drawn, "PNG")).size == drawn.size
