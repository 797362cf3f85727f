"""What a file's own bytes tell before a decoder runs: which kind it is, and whether decoding it could cost more than a
photo is worth. Nothing here unpacks a pixel."""

import io
import os
import re
import struct
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

READ_KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF", "DICOM")
READ_KINDS_IN_WORDS = "JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM"  # for help texts and labels

SMALLEST_SIDE = 94  # below this, the network would be shown pixels that the camera never saw
# Calls of read() a decoder may need: some hundreds for a photo, millions for a hostile file.
MOST_READS = 200_000
MOST_SCANS = 100  # a progressive JPEG has about ten; each scan costs a walk through the whole picture
# Tables or EXIF blocks of a JPEG and its previews, colour profiles of a PNG: one to a dozen.
MOST_TABLES = 100
MOST_MARKERS = 10_000  # of a JPEG, and chunks before a PNG's pixels; a photo has fewer than a hundred
MOST_HEIC_BYTES = (
    25 * 2**20
)  # noise takes a core 0.13 s a megabyte; a telephone's 48 megapixels have about ten
MOST_TAGS = 1_000  # of a TIFF's directory; cameras write fewer than a hundred
MOST_VALUES = 200_000  # of one TIFF tag: the strips or tiles of the largest picture that is read


class PhotoError(ValueError):
    """A photo that cannot be read; its text is one sentence for the user: what is wrong and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one photo may cost. `most_bytes`: of the file, 40 MB; `most_pixels`: width x height, 50 megapixels, which take
    150 MB as RGB (dermatoscopes deliver 1 to 24 megapixels). `smallest`: pixels on the shorter side, at least; only data
    sets of reduced photos are read with less than SMALLEST_SIDE."""

    most_bytes: int = 40 * 1024 * 1024
    most_pixels: int = 50_000_000
    smallest: int = SMALLEST_SIDE

    @classmethod
    def from_environment(cls) -> "Limits":
        """The limits with SKINAPP_MOST_BYTES and SKINAPP_MOST_PIXELS in place of the defaults."""
        return cls(
            whole_number("SKINAPP_MOST_BYTES", cls.most_bytes),
            whole_number("SKINAPP_MOST_PIXELS", cls.most_pixels),
        )

    def check_bytes(self, number: int) -> None:
        """Raises PhotoError where a file is too heavy."""
        if number > self.most_bytes:
            raise PhotoError(self.too_heavy)

    def check_picture(self, width: int, height: int) -> None:
        """Raises PhotoError where a picture is too large, or has fewer than `smallest` pixels on a side."""
        if width * height > self.most_pixels:
            raise PhotoError(self.too_large)
        if min(width, height) < self.smallest:
            raise PhotoError(
                f"This picture has {width} x {height} pixels; at least {self.smallest} on each side are needed: "
                "take the photo at a higher resolution."
            )

    @property
    def too_heavy(self) -> str:
        """The sentence for a file of too many bytes."""
        return f"This file is larger than {self.most_bytes / 2**20:.3g} MB: save the photo as a smaller JPEG."

    @property
    def too_large(self) -> str:
        """The sentence for a picture of too many pixels."""
        return (
            f"This picture has more than {self.most_pixels / 10**6:.3g} megapixels: reduce it and try again."
        )


def whole_number(name: str, default: int) -> int:
    """A limit from the environment. Ends the process with a sentence where it is no positive whole number: limits are read
    while modules are being imported, where nobody could catch an error of ours."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SystemExit(
            f"skinapp cannot start: {name} is {text!r}: set it to a whole number above 0 or unset it."
        )
    return int(text)


class Metered(io.BytesIO):
    """A photo's bytes as a file that ends decoders which go round in circles: thousands of markers, fill bytes, chunks or
    directories, or tags that name the same megabytes again and again. Reading past the allowance raises PhotoError."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self._reads = MOST_READS
        self._bytes = 8 * len(data) + 2**20

    def read(self, size: int | None = -1, /) -> bytes:
        """As of every file; the allowance shrinks by what is handed out."""
        data = super().read(size)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise PhotoError(
                "This file is built so that reading it would take too long: save it as JPEG or PNG."
            )
        return data


# First bytes of the kinds that are read, as Pillow knows them; HEIF, WebP and DICOM have theirs further in.
_FIRST_BYTES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"),
}
# The length of group 2, which begins a DICOM file that was saved without its preamble. One without group 2 cannot be told
# from other data, and is not read.
WITHOUT_PREAMBLE = b"\2\0\0\0UL\4\0"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# What people send by mistake and Pillow has no name for. Of pictures that it knows, Pillow tells the name.
_OTHERS = (
    (rb"%PDF", "a PDF document"),
    (rb"PK[\3\5]", "a ZIP archive or office document"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive"),
    (rb"\xd0\xcf\x11\xe0", "an office document"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a picture in JPEG XL format"),
    (rb"....ftyp(avi[fs]|m[is]f1)", "a picture in AVIF format"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR", "a camera's raw file"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", "an SVG drawing"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", "a web page"),
)


def kind_of(data: bytes) -> str:
    """One of READ_KINDS, or "" for what is not read here. data: the whole file, or its beginning."""
    if data[128:132] == b"DICM" or data.startswith(WITHOUT_PREAMBLE):
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        # A general brand stands before AVIF, too; the list of compatible brands, which follows, tells.
        return "" if b"avif" in data[8 : min(64, int.from_bytes(data[:4], "big"))] else "HEIF"
    return next((kind for kind, first in _FIRST_BYTES.items() if data.startswith(first)), "")


def refusal_by_name(data: bytes) -> str:
    """The sentence for a file of a kind that is not read: it says which kind, where that can be told."""
    begin = data[:1024]
    name = next((name for form, name in _OTHERS if re.match(form, begin, re.DOTALL | re.IGNORECASE)), "")
    if not name and (found := _pillow_name(data[:16])):
        name = f"a picture in {found} format"
    if not name:
        return "This file is not a picture that can be read here: choose a JPEG or PNG photo."
    return f"This is {name}, which is not read here: save the photo as JPEG or PNG."


def _pillow_name(prefix: bytes) -> str:
    """Pillow's short name of the kind, by its first 16 bytes alone: no plugin opens the file."""
    Image.init()
    for name, (_, accept) in Image.OPEN.items():
        with suppress(Exception):  # some look at bytes that are not there
            if name not in READ_KINDS and accept and accept(prefix) is True:
                return "JPEG 2000" if name == "JPEG2000" else name
    return ""


def check_cost(data: bytes, kind: str) -> None:
    """Refuse a PNG, HEIC or TIFF that is built to cost far more than its size in pixels. Raises PhotoError."""
    if kind == "PNG" and data.count(b"iCCP") > MOST_TABLES:  # each is unpacked, to a megabyte
        raise PhotoError("This PNG holds too many colour profiles: save it anew as PNG or JPEG.")
    if kind == "HEIF" and _bytes_without_film(data) > MOST_HEIC_BYTES:
        raise PhotoError(f"This HEIC is larger than {MOST_HEIC_BYTES // 2**20} MB: save the photo as JPEG.")
    if kind == "TIFF":
        _check_tiff(data)


def own_jpeg(data: bytes) -> bytes:
    """A JPEG up to its picture's own end, without the film, second view or gain map that telephones write behind it.

    Raises PhotoError where it is built to cost far more than its size in pixels.
    """
    place, markers, scans, tables = 2, 0, 0, 0
    while match := _MARKER.search(data, place):
        marker, place, markers = match[1][0], match.end(), markers + 1
        if marker == 0xD9:
            return data[:place]
        scans += marker == 0xDA
        tables += marker == 0xDB
        if scans > MOST_SCANS:
            raise PhotoError("This JPEG is made of too many scans: save it again as a baseline JPEG.")
        if tables > MOST_TABLES:
            raise PhotoError("This JPEG holds too many tables: save it again as a baseline JPEG.")
        if markers > MOST_MARKERS:
            raise PhotoError("This JPEG is made of too many parts: save it again as a baseline JPEG.")
        if marker not in (0x01, 0xD8):  # these two stand alone; all others begin with their length
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return data


# What may follow inside a scan, the byte 0 and restart markers, begins no part of the file.
_MARKER = re.compile(rb"\xff([^\0\xd0-\xd7\xff])", re.DOTALL)


def _bytes_without_film(data: bytes) -> int:
    """The bytes of a HEIC but for the film that telephones write behind it, in a box of its own or as a whole second file."""
    place = film = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">L4s", data, place)
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, place + 8)
        if name == b"ftyp" and place:
            return place - film
        if size < 8:  # the last box, or none
            break
        film += min(size, len(data) - place) if name == b"mpvd" else 0
        place += size
    return len(data) - film


def _check_tiff(data: bytes) -> None:
    """Walk the first directory, which says how many values each tag has and whether another directory follows."""
    order = "<" if data[:2] == b"II" else ">"
    big = b"+" in data[2:4]
    damaged = PhotoError("This TIFF is damaged or cut short: export or copy it again.")
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        if entries > MOST_TAGS:
            raise damaged
        layout, size = (order + "HHQQ", 20) if big else (order + "HHLL", 12)
        first = start + (8 if big else 2)
        tags = {}
        for entry in range(entries):
            tag, _, count, _ = struct.unpack_from(layout, data, first + entry * size)
            if count > (len(data) if tag not in _TIFF_LISTS else MOST_VALUES):
                raise damaged
            tags[tag] = first + entry * size + (12 if big else 8)
        (following,) = struct.unpack_from(order + ("Q" if big else "L"), data, first + entries * size)
    except struct.error:
        raise damaged from None
    if 50706 in tags or data[8:10] == b"CR":  # DNG and CR2: the picture in front is only a preview
        raise PhotoError(
            "This is a camera's raw file, which is not read here: save the photo as JPEG or PNG."
        )
    reduced = 254 in tags and data[tags[254] + (0 if order == "<" else 3)] & 1
    if reduced or 0 < following < len(data):
        raise PhotoError("This file holds more than one picture: save the one to be read as JPEG or PNG.")


_TIFF_LISTS = {
    273,
    279,
    324,
    325,
}  # offsets and lengths of strips and tiles, of which Pillow makes Python objects


def without_app_data(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG -> the same JPEG in which Pillow finds no EXIF, Photoshop or multi-picture data, and its first EXIF block.

    Pillow reads those while it opens the file, and copies whatever each tag points at: where tags overlap, it makes
    gigabytes of kilobytes. A scan never holds these markers, so no pixel changes. Raises PhotoError where there are too many.
    """
    exif, names = b"", []
    for match in _APP_DATA.finditer(data):
        if match[2] == b"Exif" and not exif:
            exif = data[match.start(2) : match.start() + 2 + int.from_bytes(match[1], "big")]
        names.append(match.start(2))
        if len(names) > MOST_TABLES:
            raise PhotoError("This JPEG is made of too many parts: save it anew as a baseline JPEG.")
    if not names:
        return data, exif
    cleaned = bytearray(data)
    for name in names:
        cleaned[name : name + 4] = bytes(4)
    return bytes(cleaned), exif


_APP_DATA = re.compile(rb"\xff[\xe1\xe2\xed](..)(Exif|MPF\0|Phot)", re.DOTALL)


def orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where none is told. exif: the block, with or without "Exif" before it.

    Orientations in XMP are not heeded, as browsers do not heed them.
    """
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(body[:2], "")
    try:
        (start,) = struct.unpack_from(f"{order}L", body, 4) if order else (len(body),)
        (entries,) = struct.unpack_from(f"{order}H", body, start)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", body, start + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut short
        return 1
    return 1
