"""The one way from a file to the network's input, and everything that it must refuse."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skinapp.network.classifier import Classifier
from skinapp.photo.colours import IGNORED
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import (
    ENOUGH,
    MOST_BYTES,
    RESAMPLING,
    Limits,
    PhotoError,
    centre_square,
    open_photo,
    to_input,
    to_pixels,
)
from tests.conftest import tiny_configuration
from train.dataset import load_dataset
from train.network.architectures import CnnSettings, cnn
from train.network.export import write_model
from train.network.trainer import Settings, at_size

DRAWN = draw_lesion("mel", size=(200, 150))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG chunk by chunk, for what Pillow does not write. rows: each begins with a filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def grey_tiff(bits: int, photometric: int, pixels: bytes, side: int = 100) -> bytes:
    """A grey TIFF tag by tag. photometric: 0 where zero is white, 1 where it is black."""
    values = {
        256: side,
        257: side,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: side,
        279: len(pixels),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", 9) + entries + bytes(4)
    )


def formula_picture() -> Image.Image:
    """600x450, every pixel given by integers alone: no decoder and no random generator has a say in it."""
    y, x = np.mgrid[:450, :600].astype(np.int64)
    channels = [x * 255 // 599, y * 255 // 449, (x * x + 3 * y * y) // 97 % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


# Pillow resamples 8-bit pictures in whole numbers (fixed-point coefficients of 22 bits): the answer is alike
# to the last bit everywhere. If this fails, networks are shown other pictures than they learnt from.
@pytest.mark.parametrize(
    "resampling, sha256",
    [
        ("box", "036988230a17dbd9479cb35208bffcc152e9d49bbc1aeb234f72b28e579ed6c3"),
        ("bilinear", "f482508d005c84ccd5394d5b01418c1f825523b6d142920409445001dfa8182c"),
        ("hamming", "2aadbd52ef822c7c2714884e6cbbfb69290d92828efc5dded06605b9f87a1601"),
        ("bicubic", "d8285842a890cc74b062b88edcb4fbefec795985ce7f2389178f2dbf234cd3df"),
        ("lanczos", "678ece6bd4019339e3c6ea30c5e20a148f48062c202ee92ec6456acca790d1f8"),
    ],
)
def test_golden_picture_to_the_last_bit(resampling: str, sha256: str) -> None:
    assert set(RESAMPLING) == {"box", "bilinear", "hamming", "bicubic", "lanczos"}
    photo = open_photo(encoded(formula_picture(), "PNG"))
    assert hashlib.sha256(to_pixels(photo, 94, resampling).tobytes()).hexdigest() == sha256


@pytest.mark.parametrize(
    "row, column, rgb",
    [
        (0, 0, (32, 1, 61)),  # red 32, not 0: the square begins 75 pixels from the left edge
        (0, 93, (222, 1, 155)),
        (47, 47, (128, 128, 189)),
        (93, 0, (32, 253, 91)),
        (70, 20, (73, 191, 157)),
    ],
)
def test_golden_values(row: int, column: int, rgb: tuple[int, int, int]) -> None:
    batch = to_input(formula_picture(), 94, "bicubic")
    assert batch.shape == (1, 94, 94, 3) and batch.dtype == np.float32
    assert tuple(batch[0, row, column]) == rgb


@pytest.mark.parametrize(
    "size, kept",
    [((7, 4), (1, 0, 5, 4)), ((4, 7), (0, 1, 4, 5)), ((5, 5), (0, 0, 5, 5)), ((600, 450), (75, 0, 525, 450))],
)
def test_centre_square(size: tuple[int, int], kept: tuple[int, int, int, int]) -> None:
    picture = Image.fromarray(np.arange(size[0] * size[1], dtype=np.int32).reshape(size[1], size[0]))
    left, top, right, bottom = kept
    assert np.array_equal(np.asarray(centre_square(picture)), np.asarray(picture)[top:bottom, left:right])


# What a camera stores for each EXIF orientation, so that undoing it shows DRAWN.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("form, options, tolerance", [
    ("PNG", {}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("TIFF", {}, 0),
    ("JPEG", {"quality": 100, "subsampling": 0}, 4),  # it rounds its coefficients another way when turned
])  # fmt: skip
@pytest.mark.parametrize("orientation", STORED)
def test_all_exif_orientations_give_one_picture(
    orientation: int, form: str, options: dict[str, Any], tolerance: int
) -> None:
    turn = STORED[orientation]
    stored = DRAWN if turn is None else DRAWN.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(encoded(stored, form, exif=exif, **options))
    assert photo.size == DRAWN.size
    difference = to_input(photo, 94, "bicubic") - to_input(DRAWN, 94, "bicubic")
    assert np.abs(difference).max() <= tolerance


def test_training_and_app_see_the_same_pixels(dataset_folder: Path, tmp_path: Path) -> None:
    network, _ = cnn(CnnSettings(filters=(4,)), 94)
    write_model(tmp_path, network, tiny_configuration("rescale"))
    classifier = Classifier(
        tmp_path
    )  # its map layer is x / 128 - 127 / 128, without rounding: it shows the input
    dataset = load_dataset(dataset_folder, lambda image: np.zeros((1, 1, 3), np.uint8))
    trained_on = at_size(dataset, Settings()).pictures
    for record, pixels in list(zip(dataset.records, trained_on, strict=True))[::9]:
        shown = classifier(open_photo(record.path.read_bytes())).features[0] * 128 + 127
        assert np.array_equal(shown, pixels)


GREY = DRAWN.convert("L")
INDEXED = DRAWN.quantize(64)
HALF = Image.new("L", DRAWN.size, 128)
HALF.paste(255, (0, 0, 100, 150))
ON_BLACK = Image.composite(DRAWN, Image.new("RGB", DRAWN.size), HALF)


@pytest.mark.parametrize(
    "form, image, expected, tolerance",
    [
        ("PNG", DRAWN, DRAWN, 0),
        ("BMP", DRAWN, DRAWN, 0),
        ("TIFF", DRAWN, DRAWN, 0),
        ("JPEG", DRAWN, DRAWN, 3),
        ("WEBP", DRAWN, DRAWN, 3),
        ("PNG", GREY, GREY.convert("RGB"), 0),
        ("BMP", GREY, GREY.convert("RGB"), 0),
        ("TIFF", GREY, GREY.convert("RGB"), 0),
        ("JPEG", GREY, GREY.convert("RGB"), 3),
        ("PNG", INDEXED, INDEXED.convert("RGB"), 0),
        ("BMP", INDEXED, INDEXED.convert("RGB"), 0),
        ("TIFF", INDEXED, INDEXED.convert("RGB"), 0),
        ("PNG", DRAWN.convert("1"), DRAWN.convert("1").convert("RGB"), 0),
        ("BMP", DRAWN.convert("1"), DRAWN.convert("1").convert("RGB"), 0),
        ("TIFF", DRAWN.convert("1"), DRAWN.convert("1").convert("RGB"), 0),
        (
            "PNG",
            Image.merge("LA", (GREY, HALF)),
            Image.composite(GREY, Image.new("L", GREY.size), HALF).convert("RGB"),
            1,
        ),
        ("PNG", Image.merge("RGBA", (*DRAWN.split(), HALF)), ON_BLACK, 1),
        ("TIFF", Image.merge("RGBA", (*DRAWN.split(), HALF)), ON_BLACK, 1),
        ("WEBP", Image.merge("RGBA", (*DRAWN.split(), HALF)), ON_BLACK, 3),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "mode", None),
)
def test_formats_and_modes(form: str, image: Image.Image, expected: Image.Image, tolerance: int) -> None:
    photo = open_photo(encoded(image, form))
    assert photo.mode == "RGB"
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(expected)).mean() <= tolerance


def test_transparent_palette_entry_is_laid_on_black() -> None:
    image = Image.new("P", (100, 100), 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.paste(0, (0, 0, 50, 100))
    photo = open_photo(encoded(image, "PNG", transparency=1))
    assert photo.getpixel((10, 10)) == (9, 9, 9) and photo.getpixel((90, 10)) == (0, 0, 0)


def test_transparent_colour_is_laid_on_black() -> None:
    image = Image.new("RGB", (100, 100), (200, 100, 50))
    image.paste((9, 9, 9), (0, 0, 50, 100))
    photo = open_photo(encoded(image, "PNG", transparency=(200, 100, 50)))
    assert photo.getpixel((10, 10)) == (9, 9, 9) and photo.getpixel((90, 10)) == (0, 0, 0)


@pytest.mark.parametrize("form, byte_order", [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">")])
def test_16_bit_grey_keeps_its_brightness(form: str, byte_order: str) -> None:
    levels = np.repeat(np.array([0, 25700, 51400, 65535]), 25)  # 0, 100, 200 and 255 of 255
    data = encoded(Image.fromarray(np.tile(levels, (100, 1)).astype(f"{byte_order}u2")), form)
    assert Image.open(io.BytesIO(data)).mode.startswith("I;16")
    assert [open_photo(data).getpixel((x, 50)) for x in (5, 30, 55, 80)] == [
        (v, v, v) for v in (0, 100, 200, 255)
    ]


def test_16_bit_rgb_keeps_its_brightness() -> None:
    pixel = struct.pack(">HHH", 200 * 257, 100 * 257, 50 * 257)
    assert open_photo(png(100, 100, 16, 2, (b"\0" + pixel * 100) * 100)).getpixel((50, 50)) == (200, 100, 50)


def test_phone_jpeg_with_a_second_view_gives_the_first() -> None:
    second = Image.new("RGB", DRAWN.size, "blue")
    data = encoded(DRAWN, "MPO", save_all=True, append_images=[second], quality=95)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2
    assert np.abs(np.asarray(open_photo(data)).astype(int) - np.asarray(DRAWN)).mean() < 3


def photo_with_secrets(form: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[29] = "SECRET:01:01"  # GPS date
    if form == "JPEG":
        return encoded(
            DRAWN, form, exif=exif, comment=b"SECRET comment", xmp=b"<x>SECRET</x>", icc_profile=b"SECRET"
        )
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Patient", "SECRET name")
    return encoded(DRAWN, form, exif=exif, pnginfo=text)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("saved_as", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_metadata_goes_further(form: str, saved_as: str) -> None:
    data = photo_with_secrets(form)
    assert b"SECRET" in data
    photo = open_photo(data)
    assert photo.info == ({IGNORED: True} if form == "JPEG" else {}) and not photo.getexif()
    assert b"SECRET" not in encoded(photo, saved_as)


def animated(form: str) -> bytes:
    return encoded(DRAWN, form, save_all=True, append_images=[DRAWN.rotate(90), DRAWN.rotate(180)])


def cut(form: str, share: float) -> bytes:
    data = encoded(DRAWN, form)
    return data[: int(len(data) * share)]


def bomb(side: int) -> bytes:
    """An honest PNG of few bytes: side x side black pixels, one bit each."""
    return png(side, side, 1, 0, (b"\0" + bytes((side + 7) // 8)) * side)


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"no picture at all", "not a picture"),
    "zeros": (lambda: bytes(1000), "not a picture"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200"/>', "This is an SVG drawing"),
    "html": (lambda: b"<!doctype html><title>404</title>", "This is a web page"),
    "gif": (lambda: encoded(DRAWN, "GIF"), "in GIF format"),
    "animated gif": (lambda: animated("GIF"), "in GIF format"),
    "animated png": (lambda: animated("PNG"), "more than one"),
    "animated webp": (lambda: animated("WEBP"), "more than one"),
    "tiff of several pages": (lambda: animated("TIFF"), "more than one"),
    "cmyk jpeg": (lambda: encoded(DRAWN.convert("CMYK"), "JPEG"), "CMYK"),
    "cmyk tiff": (lambda: encoded(DRAWN.convert("CMYK"), "TIFF"), "CMYK"),
    "lab tiff": (lambda: encoded(Image.new("LAB", (200, 150)), "TIFF"), "LAB"),
    "32-bit tiff": (lambda: encoded(Image.new("I", (200, 150), 70000), "TIFF"), "faithfully"),
    "float tiff": (lambda: encoded(Image.new("F", (200, 150), 0.5), "TIFF"), "faithfully"),
    # Pillow hands out both of these as if they were common 16-bit grey: too dark by 16, and inverted.
    "12-bit tiff": (lambda: grey_tiff(12, 1, b"\xff" * 15000), "faithfully"),
    "16-bit tiff with white as zero": (lambda: grey_tiff(16, 0, bytes(20000)), "faithfully"),
    "narrow": (lambda: encoded(Image.new("RGB", (93, 200)), "PNG"), "93 x 200"),
    "low": (lambda: encoded(Image.new("RGB", (200, 93)), "JPEG"), "200 x 93"),
    "90 megapixels": (lambda: bomb(9500), "megapixels"),
    "400 megapixels": (lambda: bomb(20000), "megapixels"),  # Pillow's own hard limit is 179
    "many bytes": (lambda: bytes(MOST_BYTES + 1), "40 MB"),
} | {
    f"{form} cut to {share:.0%}": (lambda form=form, share=share: cut(form, share), "picture")
    for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
    for share in (0.002, 0.02, 0.2, 0.5, 0.9, 0.98)
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_quick_sentence(fault: str) -> None:
    make, word = FAULTS[fault]
    data = make()
    started = time.perf_counter()
    with pytest.raises(PhotoError) as caught:
        open_photo(data)
    assert time.perf_counter() - started < 2
    check_sentence(str(caught.value))
    assert word in str(caught.value)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda folder: folder / "missing.jpg", "No such file"),
        (lambda folder: folder, "directory"),
        (lambda folder: str(folder / "missing.jpg"), "No such file"),
        (lambda folder: folder / ("x" * 300 + ".jpg"), "too long"),
        (lambda folder: folder / "\0.jpg", "no file's name"),
    ],
)
def test_path_that_cannot_be_opened(make: Callable[[Path], Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=word) as caught:
        open_photo(make(tmp_path))
    check_sentence(str(caught.value))


def test_large_file_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(20 * MOST_BYTES)  # sparse: takes no room on the disk
    tracemalloc.start()
    with pytest.raises(PhotoError, match="40 MB"):
        open_photo(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def check_sentence(text: str) -> None:
    """One sentence that a person can use: no line break, nothing of the program's insides."""
    assert text.endswith(".") and "\n" not in text and 20 < len(text) < 250
    assert not any(
        word in text for word in ("Traceback", "Error", "Exception", "PIL", "Image", "bytes", "0x", "<", ">")
    )


@pytest.mark.parametrize("size", [(94, 94), (94, 4000), (10000, 5000)])
def test_sizes_at_the_limits_are_accepted(size: tuple[int, int]) -> None:
    assert open_photo(encoded(Image.new("1", size), "PNG")).size == size


@pytest.mark.parametrize("width, height", [(9500, 9500), (7072, 7071), (40000, 40000)])
def test_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    """There is no pixel to unpack in this file: whoever tries finds it damaged, not too large."""
    with pytest.raises(PhotoError, match="megapixels"):
        open_photo(png(width, height, 8, 2, b""))


def test_path_and_bytes_give_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "photo of a mole.png"
    DRAWN.save(path)
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(np.asarray(open_photo(source)), np.asarray(DRAWN))


def test_a_damaged_palette_is_a_damaged_photo() -> None:
    more = [(b"PLTE", bytes(12)), (b"tRNS", bytes(300))]  # more transparencies than colours
    with pytest.raises(PhotoError, match="damaged"):
        open_photo(png(100, 100, 8, 3, (b"\0" + bytes(100)) * 100, *more))


def test_a_tiff_of_thousands_of_pages_is_refused_at_once() -> None:
    page = io.BytesIO()
    Image.new("L", (100, 100)).save(page, "TIFF")
    first = page.getvalue()
    # A chain of empty directories after the first page, as cheap to make as it is dear to count.
    offset = int.from_bytes(first[4:8], "little")
    entries = int.from_bytes(first[offset : offset + 2], "little")
    link = offset + 2 + 12 * entries
    data = bytearray(first)
    directory = bytes(data[offset:link])
    for _ in range(20_000):
        start = len(data)
        data[link : link + 4] = start.to_bytes(4, "little")
        data += directory + bytes(4)
        link = start + len(directory)
    started = time.perf_counter()
    with pytest.raises(PhotoError, match="more than one picture"):
        open_photo(bytes(data))
    assert time.perf_counter() - started < 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device of Unix")
def test_a_device_is_not_read() -> None:
    with pytest.raises(PhotoError, match="no file"):
        open_photo("/dev/zero")


def noisy(width: int, height: int) -> Image.Image:
    """A drawn lesion at the size of a camera, with a camera's noise."""
    large = draw_lesion("mel", size=(600, 450)).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def camera_jpeg() -> bytes:
    return encoded(noisy(2752, 2064), "JPEG", quality=90)


def test_a_reduced_jpeg_shows_the_network_the_same(camera_jpeg: bytes) -> None:
    """As much as saving the photo again would: a grey level or two (train/EXPERIMENTS.md has the probabilities)."""
    reduced, full = open_photo(camera_jpeg), open_photo(camera_jpeg, enough=None)
    assert full.size == (2752, 2064) and reduced.size == (688, 516)
    for size in (94, 224):  # of the networks
        difference = to_input(reduced, size, "bicubic") - to_input(full, size, "bicubic")
        assert np.abs(difference).max() <= 3 and np.abs(difference).mean() < 0.5


@pytest.mark.parametrize(
    "size, reduced",
    [
        ((600, 450), (600, 450)),  # HAM10000
        ((1500, 1023), (1500, 1023)),
        ((1024, 1024), (512, 512)),
        ((4000, 3000), (1000, 750)),
        ((3024, 4032), (756, 1008)),
        ((4096, 4096), (512, 512)),
        ((2047, 3000), (2047, 3000)),  # no even number
        ((2800, 2100), (1400, 1050)),  # in quarters, the square would begin at pixel 87.5
        ((9000, 94), (9000, 94)),
    ],
)
def test_only_jpegs_that_divide_evenly_into_enough_pixels_are_reduced(
    size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    image = Image.new("L", size, 128)
    assert open_photo(encoded(image, "JPEG")).size == reduced
    assert open_photo(encoded(image, "JPEG"), enough=None).size == size
    assert open_photo(encoded(image, "PNG")).size == size


def test_a_reduced_jpeg_is_set_upright_too(camera_jpeg: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(noisy(2752, 2064).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)
    photo, expected = open_photo(turned), open_photo(camera_jpeg)
    assert photo.size == expected.size
    assert np.abs(to_input(photo, 94, "bicubic") - to_input(expected, 94, "bicubic")).max() <= 4


# libjpeg-turbo's reduced decoding is integer arithmetic (its "islow" method): a golden value for what the network is
# shown of a large JPEG. A checksum would tie the test to one libjpeg, so the values may be two grey levels off.
def test_golden_values_of_a_large_jpeg() -> None:
    large = formula_picture().resize((2400, 1800), Image.Resampling.BICUBIC)
    batch = to_input(open_photo(encoded(large, "JPEG", quality=95, subsampling=0)), 94, "bicubic")
    golden = to_input(formula_picture(), 94, "bicubic")
    for row, column in ((0, 0), (0, 93), (47, 47), (93, 0), (70, 20)):
        assert np.abs(batch[0, row, column, :2] - golden[0, row, column, :2]).max() <= 2
    assert min(open_photo(encoded(large, "JPEG")).size) == 900 > ENOUGH


def test_a_tiff_whose_compression_is_slow_or_unknown_is_refused() -> None:
    data = bytearray(encoded(DRAWN, "TIFF", compression="lzma"))
    with pytest.raises(PhotoError, match="LZMA or as WebP"):
        open_photo(bytes(data))
    written = struct.pack("<HHLHH", 259, 3, 1, 34925, 0)
    assert data.count(written) == 1
    with pytest.raises(PhotoError, match="LZMA or as WebP"):
        open_photo(bytes(data.replace(written, struct.pack("<HHLHH", 259, 3, 1, 50001, 0))))


def test_limits_are_settings() -> None:
    program = (
        "from skinapp.photo.preprocess import LIMITS, MOST_BYTES\nfrom skinapp.photo.sources import MOST_ARCHIVE_BYTES, MOST_FILES\n"
        "print(LIMITS.most_bytes, MOST_BYTES, LIMITS.most_pixels, MOST_FILES, MOST_ARCHIVE_BYTES)"
    )

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    set_by_hand = run(
        SKINAPP_MOST_BYTES="1000",
        SKINAPP_MOST_PIXELS=" 2000 ",
        SKINAPP_MOST_FILES="3",
        SKINAPP_MOST_ARCHIVE_MB="4",
    )
    assert set_by_hand.stdout.split() == ["1000", "1000", "2000", "3", str(4 * 2**20)]
    for name, value in [
        ("SKINAPP_MOST_PIXELS", "50 megapixels"), ("SKINAPP_MOST_FILES", "abc"), ("SKINAPP_MOST_ARCHIVE_MB", "-1"),
    ]:  # fmt: skip
        wrong = run(**{name: value})
        assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1
        assert f"{name} is {value!r}: set it to a whole number" in wrong.stderr


def test_limits_are_kept() -> None:
    data = encoded(DRAWN, "PNG")
    assert open_photo(data, limits=Limits(len(data), 30_000)).size == (200, 150)
    with pytest.raises(PhotoError, match="MB"):
        open_photo(data, limits=Limits(len(data) - 1, 30_000))
    with pytest.raises(PhotoError, match="0.03 megapixels"):
        open_photo(data, limits=Limits(len(data), 29_999))


@pytest.mark.parametrize(
    "data, name",
    [
        (encoded(DRAWN, "GIF"), "GIF format"),
        (encoded(DRAWN, "JPEG2000"), "JPEG 2000 format"),
        (encoded(DRAWN, "ICO"), "ICO format"),
        (encoded(DRAWN, "PPM"), "PPM format"),
        (encoded(DRAWN, "PDF"), "PDF document"),
        (b"\0\0\0\x20ftypavif" + bytes(100), "AVIF format"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiafMA1B" + bytes(100), "AVIF format"),
        (b"\0\0\0\x20ftypisom" + bytes(100), "a video"),
        (b"PK\3\4" + bytes(100), "ZIP archive"),
        (b"\xff\x0a" + bytes(100), "JPEG XL format"),
        (b"8BPS\0\1" + bytes(100), "PSD format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS format"),
        (b"<?xml version='1.0'?>\n<svg>", "SVG drawing"),
    ],
)
def test_other_kinds_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(PhotoError, match=f"^This is .*{name}") as caught:
        open_photo(data)
    check_sentence(str(caught.value))


JPEG = encoded(DRAWN, "JPEG")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def overlapping_exif(size: int) -> bytes:
    """EXIF of 5000 tags, each of which names the same `size` bytes."""
    tags = b"".join(struct.pack("<HHLL", 1000 + i, 7, size, 8) for i in range(5000))
    block = b"II*\0" + struct.pack("<LH", 8, 5000) + tags + bytes(4)
    first = segment(0xE1, b"Exif\0\0" + block + bytes(65_000 - len(block)))
    return first + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * (size // 65_000)


def scans(number: int) -> bytes:
    """A progressive JPEG of 50 megapixels and as many scans, each a few bytes long."""
    tables = segment(0xDB, bytes(1) + bytes([1] * 64)) + segment(
        0xC2, struct.pack(">BHHB", 8, 7070, 7070, 1) + b"\1\x11\0"
    )
    codes = segment(0xC4, b"\0\1" + bytes(16)) + segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    first = segment(0xDA, b"\1\1\0\0\0\0") + bytes(98_000)
    return (
        b"\xff\xd8"
        + tables
        + codes
        + first
        + (segment(0xDA, b"\1\1\0\1\x3f\0") + bytes(100)) * number
        + b"\xff\xd9"
    )


def tiff_with(tag: int, count: int) -> bytes:
    """A TIFF, one of whose tags claims that many values."""
    data = bytearray(grey_tiff(8, 1, bytes(10_000)))
    place = data.index(struct.pack("<HH", tag, 4), 10_008)
    data[place + 4 : place + 8] = struct.pack("<L", count)
    return bytes(data) + bytes(30_000_000)


COSTLY: dict[str, tuple[Callable[[], bytes], str]] = {
    "exif that names megabytes again and again": (lambda: JPEG[:2] + overlapping_exif(5_000_000) + JPEG[2:], ""),
    "exif without end": (lambda: JPEG[:2] + overlapping_exif(20_000_000) + JPEG[2:], "too many parts"),
    "millions of markers": (lambda: JPEG[:2] + segment(0xFE, b"") * 5_000_000 + JPEG[2:], "too many parts"),
    "millions of fill bytes": (lambda: JPEG[:2] + b"\xff" * 10_000_000 + JPEG[2:], "too long"),
    "thousands of tables": (lambda: JPEG[:2] + segment(0xDB, (b"\0" + bytes([1] * 64)) * 1000) * 300 + JPEG[2:], "too many tables"),
    "a hundred scans": (lambda: scans(98), ""),
    "a thousand scans": (lambda: scans(1000), "too many scans"),
    "png of empty chunks": (lambda: png(100, 100, 8, 2, (b"\0" + bytes(300)) * 100, *[(b"teSt", b"")] * 300_000), "too long"),
    "png of colour profiles": (
        lambda: png(100, 100, 8, 2, (b"\0" + bytes(300)) * 100, *[(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 500),
        "too many colour profiles",
    ),
    "png of texts": (
        lambda: png(100, 100, 8, 2, (b"\0" + bytes(300)) * 100, *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 200),
        "damaged",
    ),
    "tiff of millions of strips": (lambda: tiff_with(273, 9_000_000), "damaged"),
    "run-length bmp": (
        lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, 7000, 7000, 1, 8, 1, 0, 0, 0, 256, 0)
        + bytes(1024) + b"\1\5" * 10_000_000,
        "too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COSTLY)
def test_files_built_to_be_costly_cost_little(case: str) -> None:
    """None of them has more than 50 megapixels or 40 MB, and each would take minutes or gigabytes inside Pillow."""
    make, word = COSTLY[case]
    data = make()
    tracemalloc.start()
    started = time.process_time()  # of this process: a busy machine is no fault of the decoder
    try:
        if word:
            with pytest.raises(PhotoError, match=word):
                open_photo(data)
        else:
            assert open_photo(data).mode == "RGB"
        seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 5 and peak < 3 * len(data) + 50_000_000


def test_a_camera_raw_file_is_not_its_preview() -> None:
    """DNG: a TIFF whose first picture is a thumbnail."""
    dng = encoded(DRAWN, "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(PhotoError, match="camera's raw file"):
        open_photo(dng)
    with pytest.raises(PhotoError, match="more than one picture"):
        open_photo(encoded(DRAWN, "TIFF", tiffinfo={254: 1}))


def test_neither_warnings_nor_logs_quote_metadata() -> None:
    """In a process of its own, with every log switched on: Pillow logs the tags of a TIFF, and warns of broken EXIF."""
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "from skinapp.photo.preprocess import open_photo\n"
        "print(open_photo(sys.stdin.buffer.read()).size)"
    )
    for data in (photo_with_secrets("JPEG"), photo_with_secrets("PNG"), encoded(DRAWN, "TIFF", exif=exif)):
        assert b"SECRET" in data
        run = subprocess.run(
            [sys.executable, "-W", "always", "-c", program], input=data, capture_output=True, check=True
        )
        assert run.stdout.strip() == b"(200, 150)" and b"SECRET" not in run.stderr


def film(megabytes: int) -> bytes:
    """Noise that begins like a film: among so many bytes, those that begin a JPEG's scans and tables occur by chance."""
    noise = np.random.default_rng(5).integers(0, 256, megabytes * 2**20, dtype=np.uint8).tobytes()
    return struct.pack(">L4s4sL", 24, b"ftyp", b"mp42", 0) + b"isommp42" + noise


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": Image.Exif()}])
def test_what_lies_behind_a_jpeg_is_not_counted(options: dict[str, Any]) -> None:
    """Motion photos, second views and the gain maps of Ultra HDR."""
    photo = encoded(DRAWN, "JPEG", **options)
    behind = film(8)
    assert behind.count(b"\xff\xda") > 100
    for more in (behind, photo * 120):
        assert np.array_equal(np.asarray(open_photo(photo + more)), np.asarray(open_photo(photo)))


def test_scans_and_tables_of_the_picture_itself_are_counted() -> None:
    photo = encoded(DRAWN, "JPEG")
    scan = photo[photo.index(b"\xff\xda") : -2]
    tables = photo[photo.index(b"\xff\xdb") :][:69]
    for data, what in ((photo[:-2] + scan * 101, "scans"), (photo[:2] + tables * 101 + photo[2:], "tables")):
        with pytest.raises(PhotoError, match=f"too many {what}"):
            open_photo(data)
