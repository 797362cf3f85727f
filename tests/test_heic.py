"""HEIC photos, as phones send them: written here by pillow-heif from drawn lesions."""

import io
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_bytes, from_pillow, open_heif, register_heif_opener

from skinapp.photo import files
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import Limits, PhotoError, open_photo

register_heif_opener()  # here for writing; open_photo does it by itself for reading
DRAWN = draw_lesion("mel", size=(200, 152))


def heic(image: Image.Image = DRAWN, **options: Any) -> bytes:
    """The bytes of a HEIC file."""
    file = io.BytesIO()
    image.save(file, "HEIF", **({"quality": 90, "enc_params": {"preset": "ultrafast"}} | options))
    return file.getvalue()


PHOTO = heic()


def claiming(width: int, height: int) -> bytes:
    """PHOTO with another size in its header."""
    place = PHOTO.index(b"ispe") + 8
    return PHOTO[:place] + struct.pack(">LL", width, height) + PHOTO[place + 8 :]


def test_it_shows_what_was_photographed() -> None:
    photo = open_photo(PHOTO)
    assert photo.mode == "RGB" and photo.size == DRAWN.size
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(DRAWN)).mean() < 3


def test_without_loss_to_the_last_bit() -> None:
    data = heic(quality=-1, chroma=444, matrix_coefficients=0)
    assert np.array_equal(np.asarray(open_photo(data)), np.asarray(DRAWN))


@pytest.mark.parametrize(
    "orientation, turn",
    [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)],
)
def test_it_is_set_upright_once(orientation: int, turn: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(heic(DRAWN.transpose(turn), exif=exif.tobytes()))
    assert photo.size == DRAWN.size
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(DRAWN)).mean() < 3


def test_one_that_would_take_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_HEIC_BYTES", 2**20)
    with pytest.raises(PhotoError, match="This HEIC is larger than 1 MB"):
        open_photo(PHOTO + bytes(2**20))


def test_transparent_parts_are_laid_on_black() -> None:
    half = Image.new("L", DRAWN.size, 255)
    half.paste(0, (0, 0, 100, 152))
    photo = np.asarray(open_photo(heic(Image.merge("RGBA", (*DRAWN.split(), half)))))
    assert (
        photo[:, :90].max() <= 4
        and np.abs(photo[:, 110:].astype(int) - np.asarray(DRAWN)[:, 110:]).mean() < 3
    )


def test_ten_bits_keep_their_brightness() -> None:
    file = io.BytesIO()
    deep = (np.full((152, 200, 3), (200, 100, 50), np.uint16) * 257).tobytes()
    from pillow_heif import encode

    encode("RGB;16", (200, 152), deep, file, quality=90, format="HEIF")
    assert np.abs(np.array(open_photo(file.getvalue()).getpixel((50, 50))) - (200, 100, 50)).max() <= 3


def test_of_several_pictures_the_primary_one_is_read() -> None:
    several = from_pillow(Image.new("RGB", DRAWN.size, "blue"))
    several.add_from_pillow(DRAWN)
    file = io.BytesIO()
    several.save(file, primary_index=1, quality=90)
    assert np.abs(np.asarray(open_photo(file.getvalue())).astype(int) - np.asarray(DRAWN)).mean() < 3


def test_no_metadata_goes_further() -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[29] = "SECRET:01:01"
    data = heic(exif=exif.tobytes(), xmp=b"<x>SECRET</x>")
    assert data.count(b"SECRET") == 3
    photo = open_photo(data)
    assert photo.info == {} and not photo.getexif()
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "from skinapp.photo.preprocess import open_photo\n"
        "print(open_photo(sys.stdin.buffer.read()).size)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], input=data, capture_output=True, check=True
    )
    assert run.stdout.strip() == b"(200, 152)" and b"SECRET" not in run.stderr


@pytest.mark.parametrize("data, word", [
    (PHOTO[:50], "damaged"),
    (PHOTO[: len(PHOTO) // 2], "damaged"),
    (PHOTO[:-20], "damaged"),
    (claiming(30000, 30000), "megapixels"),
    (claiming(7000, 7000), "damaged"),  # the frame itself is of 200 x 152
    (claiming(100, 100), "damaged"),
    (heic(Image.new("RGB", (64, 200))), "64 x 200"),
    (PHOTO.replace(b"ftypheic", b"ftypavif"), "AVIF format"),
    (PHOTO.replace(b"ftypheic", b"ftypisom"), "video"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(PhotoError, match=word):
        open_photo(data)


def test_limits_hold() -> None:
    with pytest.raises(PhotoError, match="0.02 megapixels"):
        open_photo(PHOTO, limits=Limits(most_pixels=20_000))


def test_a_film_behind_it_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_HEIC_BYTES", len(PHOTO))
    box = struct.pack(">L4s", 100_008, b"mpvd") + bytes(100_000)
    second = struct.pack(">L4s4sL", 16, b"ftyp", b"mp42", 0) + bytes(100_000)
    for data in (PHOTO + box, PHOTO + second, PHOTO + box + second):
        assert np.array_equal(np.asarray(open_photo(data)), np.asarray(open_photo(PHOTO)))
    with pytest.raises(PhotoError, match="larger than"):
        open_photo(PHOTO + struct.pack(">L4s", 100_008, b"free") + bytes(100_000))


@pytest.mark.parametrize("to_12_bits", [False, True])
def test_more_bits_of_newer_cameras(to_12_bits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillow_heif.options.SAVE_HDR_TO_12_BIT", to_12_bits)
    pixels = (np.asarray(DRAWN).astype(np.uint16) * 257).tobytes()
    file = io.BytesIO()
    from_bytes(mode="RGB;16", size=DRAWN.size, data=pixels).save(file, quality=95, chroma=444)
    assert open_heif(file, convert_hdr_to_8bit=False).info["bit_depth"] == (12 if to_12_bits else 10)
    photo = open_photo(file.getvalue())
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(DRAWN)).mean() < 2
