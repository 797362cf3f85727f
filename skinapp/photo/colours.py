"""From the colours that a photo is stored in to sRGB, which the network has learned from.

Telephones store Display P3, cameras often Adobe RGB. Read as if they were sRGB, such photos look pale, and the network's
probabilities move. A file tells its colours by an ICC profile, or by code points of ITU-T H.273 (HEIC's nclx, PNG's cICP).
littleCMS converts, by relative colorimetric intent with black-point compensation.
"""

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from skinapp.photo.files import MOST_MARKERS

# Bytes. Those of cameras and screens have one to a hundred kilobytes, those of printers up to some megabytes.
MOST_PROFILE = 4 * 2**20
CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")  # not those of named colours, links or effects
# A profile that moves no colour by more grey levels than this is sRGB, whoever wrote it: its photos stay as they are.
SAME = 2
IGNORED = "ignored_profile"  # in the `info` of a picture whose own profile could not be used

# Chromaticities (x, y) of red, green, blue and white by code point (ITU-T H.273, table 2).
D65 = (0.3127, 0.3290)
PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),  # BT.709, the primaries of sRGB
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
}
UNSPECIFIED = 2
# Transfer functions (table 3). Pictures that name one of the video curves are made for screens of sRGB, and read as such.
LIKE_SRGB = {1, UNSPECIFIED, 6, 13, 14, 15}
PQ = 16
GAMMA = {4: 2.2, 5: 2.8, 8: 1.0}
WHITE_OF_PQ = 203.0  # cd/m2 of white paper in pictures of high dynamic range (ITU-R BT.2408)


def in_srgb(image: Image.Image, profile: bytes | None, scale: int = 1) -> Image.Image:
    """The same colours in sRGB. image: mode RGB; profile: what the file tells of them as an ICC profile, b"" where what it
    tells cannot be used, None where it tells nothing; scale: by how much the picture may be reduced before it is converted,
    which takes 20 to 40 ns a pixel -> mode RGB.

    The image itself comes back where its colours are sRGB. Where the profile is broken, larger than MOST_PROFILE or not one
    for RGB, it comes back with IGNORED in its `info`.
    """
    if profile is None:
        return image
    try:
        transform = _transform(profile)
    except (ImageCms.PyCMSError, ValueError, OSError):
        image.info[IGNORED] = True
        return image
    if transform is None:
        return image
    converted = transform.apply(image if scale == 1 else image.reduce(scale))
    converted.info = {}
    return converted


def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """Code points of H.273 as a profile for `in_srgb`. b"" for those that are not known, such as hybrid log-gamma."""
    if primaries == UNSPECIFIED and transfer in LIKE_SRGB:
        return None
    corners = PRIMARIES.get(1 if primaries == UNSPECIFIED else primaries)
    if corners is None:
        return b""
    if transfer in LIKE_SRGB:
        curve = struct.pack(">4x2H5i", 3, 0, *_fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        return _matrix_profile(corners, b"para" + curve)
    if transfer in GAMMA:
        return _matrix_profile(corners, b"para" + struct.pack(">4x2Hi", 0, 0, *_fixed(GAMMA[transfer])))
    if transfer == PQ:
        levels = np.round(_pq(np.linspace(0, 1, 4096)) * 65535).astype(">u2")
        return _matrix_profile(corners, b"curv" + struct.pack(">4xL", levels.size) + levels.tobytes())
    return b""


def png_profile(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG -> the same PNG without its ICC profiles, and its profile as `in_srgb` takes it. cICP goes before iCCP.

    Pillow refuses a whole picture for a large or broken profile. gAMA and cHRM are not heeded: programs write them by rote.
    """
    profile, coded, start = None, None, 8
    kept: list[bytes] = []
    for name, place, end in _chunks(data):
        if name == b"iCCP":
            profile = _unpacked(data[place : end - 4]) if profile is None else profile
            kept.append(data[start if kept else 0 : place - 8])
            start = end
        elif name == b"cICP" and end - place == 8:
            coded = coded_profile(data[place], data[place + 1])
    if kept:
        data = b"".join([*kept, data[start:]])
    return data, profile if coded is None else coded


def bmp_profile(data: bytes) -> bytes | None:
    """The profile inside a BMP with a header of version 5, as `in_srgb` takes it."""
    if len(data) < 138 or data[14:18] != b"\x7c\0\0\0" or data[70:74] != b"DEBM":
        return None
    place, size = struct.unpack_from("<2L", data, 126)
    return data[14 + place : 14 + place + size] if size <= MOST_PROFILE else b""


def told_profile(image: Image.Image) -> bytes | None:
    """The profile of a picture that Pillow has opened, as `in_srgb` takes it."""
    if "icc_profile" in image.info:
        return image.info["icc_profile"] or b""  # None where Pillow has found parts that do not fit together
    if coded := image.info.get("nclx_profile"):
        return coded_profile(int(coded["color_primaries"]), int(coded["transfer_characteristics"]))
    return None


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """How colours get from this profile to sRGB; None where they are there. Raises PyCMSError, OSError or ValueError."""
    usable = len(profile) <= MOST_PROFILE and profile[12:16] in CLASSES and profile[16:20] == b"RGB "
    # A chain of processing elements may be built to take minutes; no camera writes one.
    if not usable or b"mpet" in profile:
        raise ValueError("No profile for the colours of an RGB picture.")
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    levels = np.linspace(0, 255, 16).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(64, 64, 3)
    moved = np.asarray(transform.apply(Image.fromarray(cube))).astype(int) - cube
    return None if np.abs(moved).max() <= SAME else transform


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Name, first byte and end (checksum included) of each chunk before a PNG's pixels."""
    found: list[tuple[bytes, int, int]] = []
    place = 8
    while place + 12 <= len(data) and len(found) < MOST_MARKERS:
        length, name = struct.unpack_from(">L4s", data, place)
        if name in (b"IDAT", b"IEND"):
            break
        found.append((name, place + 8, place + 12 + length))
        place += 12 + length
    return found


def _unpacked(chunk: bytes) -> bytes:
    """The profile inside an iCCP chunk, b"" where there is none."""
    _, _, packed = chunk.partition(b"\0")
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(packed[1:], MOST_PROFILE + 1)
    except zlib.error:
        return b""
    return profile if unpacker.eof and packed[:1] == b"\0" else b""


def _pq(signal: np.ndarray) -> np.ndarray:
    """Light of white paper, at most 1, by signal in [0, 1] (SMPTE ST 2084)."""
    root = signal ** (1 / 78.84375)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return np.minimum(10_000 / WHITE_OF_PQ * light ** (1 / 0.1593017578125), 1)


def _fixed(*values: float) -> list[int]:
    """As an ICC profile's numbers of 16 bits before and 16 after the point."""
    return [round(value * 65536) for value in values]


def _matrix_profile(corners: tuple[tuple[float, float], ...], curve: bytes) -> bytes:
    """An ICC profile, version 4, of RGB light. corners: (x, y) of red, green, blue and white; curve: of all three colours."""
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in corners]).T
    light = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    # To the white that profiles are told in, by the matrix of Bradford (ICC.1:2022, annex E).
    eyes = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    paper = np.array([0.96422, 1, 0.82521])
    light = np.linalg.inv(eyes) @ np.diag(eyes @ paper / (eyes @ xyz[:, 3])) @ eyes @ light
    tags = {b"wtpt": b"XYZ " + struct.pack(">4x3i", *_fixed(*paper))}
    for column, letter in enumerate((b"r", b"g", b"b")):
        tags[letter + b"XYZ"] = b"XYZ " + struct.pack(">4x3i", *_fixed(*light[:, column]))
        tags[letter + b"TRC"] = curve + bytes(-len(curve) % 4)
    index, body, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        index += struct.pack(">4s2L", name, start + len(body), len(value))
        body += value
    head = struct.pack(">L4xL4s4s4s12x4s", start + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", *_fixed(*paper))
    return head.ljust(128, b"\0") + struct.pack(">L", len(tags)) + index + body
