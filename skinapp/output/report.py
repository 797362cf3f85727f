"""A reading to take along: one page as PDF, a JSON document after `reading.schema.json`, the saliency overlay as PNG.

Nothing of the photo's file is in them: no name, no metadata, only the square that the network saw.
"""

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from fpdf import FPDF
from fpdf.fonts import TTFFont
from PIL import Image, ImageColor, PngImagePlugin

from skinapp import NOTICE, __version__
from skinapp.figures import measured
from skinapp.lesions import BY_CODE
from skinapp.network.saliency import METHODS, SaliencyMap, legend_colours, overlay
from skinapp.photo.checks import Check
from skinapp.reading import Reading
from skinapp.words import (
    STRANGE,
    apart,
    cost_sentence,
    flag_sentence,
    missed_sentence,
    percent,
    set_sentence,
)

SCHEMA = "skinapp-reading/1"  # of the JSON document; `reading.schema.json` describes it
LONGEST_LABEL = 120  # characters of the case label
JPEG_QUALITY = 92  # of the two pictures in the PDF: a tenth of their size as PNG

# DejaVu travels with Matplotlib, so that no font is fetched or looked for on the machine.
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# It has Latin, Greek, Cyrillic, Arabic and Hebrew letters. Those of two more scripts, 100 KB, are here for case labels; a font
# for Chinese, Japanese and Korean would have more than 10 MB.
OWN_FONTS = Path(__file__).with_name("fonts")
NO_GLYPH = "\N{REPLACEMENT CHARACTER}"
JOINERS = "\u200c\u200d"  # which Persian and Hindi need; they have no glyph of their own

# Of an A4 page, in millimetres.
LEFT, RIGHT, TOP, BOTTOM = 16.0, 194.0, 14.0, 285.0
PICTURE = 64.0
LINE = 1.32  # of the letters' height
POINT = 25.4 / 72

Colour = tuple[int, int, int]
INK: Colour = (15, 23, 42)
SUBDUED: Colour = (71, 85, 105)
TEAL: Colour = (15, 118, 110)
TRACK: Colour = (226, 232, 240)
AMBER: Colour = (180, 83, 9)
PALE_AMBER: Colour = (255, 247, 230)
PALE: Colour = (244, 247, 249)


def tidy(label: str) -> str:
    """A case label on one line, without control characters, at most LONGEST_LABEL characters."""
    printable = "".join(c if c.isprintable() or c in JOINERS else " " for c in label)
    return " ".join(printable.split())[:LONGEST_LABEL]


def unprintable(label: str) -> str:
    """The characters of a case label that the PDF has no glyphs for, each once. The JSON document has them all."""
    glyphs = _Page(datetime.now().astimezone()).shape(label)
    return "".join(c for c in dict.fromkeys(tidy(label)) if ord(c) not in glyphs)


def document(reading: Reading, label: str, now: datetime) -> dict[str, Any]:
    """The reading as JSON, with schema, program version, time and case label.

    label: free text, cut after LONGEST_LABEL characters; now: with its time zone.
    """
    return {
        "schema": SCHEMA,
        "program": f"skinapp {__version__}",
        "time": now.isoformat(timespec="seconds"),
        "case": tidy(label),
    } | reading.as_json()


def png(reading: Reading, saliency: SaliencyMap, opacity: float = 0.5) -> bytes:
    """The overlay as a PNG file whose only metadata is the notice. saliency: of this reading; opacity in [0, 1]."""
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", NOTICE)
    buffer = io.BytesIO()
    _bare(overlay(reading.square, saliency, opacity)).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def pdf(
    reading: Reading,
    saliency: SaliencyMap,
    sensitivity: float,
    label: str,
    now: datetime,
    opacity: float = 0.5,
) -> bytes:
    """The reading on one A4 page, as a PDF file.

    saliency: of this reading, without evidence, too; sensitivity: of the operating point that malignant or premalignant is
    held against; label: free text, of which what fits into a line is printed, with a replacement character for what
    `unprintable` names; now: with its time zone; opacity of the map in [0, 1].
    """
    page = _Page(now)
    y = page.head(tidy(label))
    y = page.conclusion(reading, sensitivity, y + 4)
    y = page.pictures(reading, saliency, opacity, y + 4)
    y = max(page.bars(reading, sensitivity, y + 5), page.target(reading, sensitivity, y + 5))
    foot = page.foot_top(reading)
    page.checks(reading.checks, y + 4, foot - 3)
    page.foot(reading, foot)
    return bytes(page.paper.output())


class _Page:
    """The page while it is drawn. Its methods draw one part each, from y downwards, and return where it ends."""

    def __init__(self, now: datetime):
        self.now = now
        self.paper = paper = FPDF(format="A4")
        paper.set_auto_page_break(False)  # whatever happens, one page
        paper.set_title("skinapp: reading of a dermatoscopic photo")
        paper.set_creator(f"skinapp {__version__}")
        paper.set_creation_date(now)
        paper.set_lang("en-GB")
        paper.c_margin = 0
        paper.add_font("DejaVu", "", FONTS / "DejaVuSans.ttf")
        paper.add_font("DejaVu", "B", FONTS / "DejaVuSans-Bold.ttf")
        paper.add_page()
        fonts = [font for font in paper.fonts.values() if isinstance(font, TTFFont)]
        self.glyphs = frozenset.intersection(*(frozenset(font.cmap) for font in fonts))

    def shape(self, label: str) -> frozenset[int]:
        """Get ready to write a case label in whatever script, from either side. Returns the characters that there are glyphs for."""
        glyphs = self.glyphs | {ord(joiner) for joiner in JOINERS}
        if not label.isascii():
            self.paper.set_text_shaping(True)
            for script in ("Devanagari", "Thai"):
                self.paper.add_font(script, "B", OWN_FONTS / f"NotoSans{script}-Bold.ttf")
                font = cast(TTFFont, self.paper.fonts[f"{script.lower()}B"])
                glyphs |= frozenset(font.cmap)
            self.paper.set_fallback_fonts(["Devanagari", "Thai"])
        return frozenset(glyphs)

    def head(self, label: str) -> float:
        """Title, time, case label, notice."""
        self._bar(LEFT, TOP, 1.4, 12, TEAL)
        self._line(LEFT + 4, TOP, 120, "skinapp", 15, TEAL, "B")
        self._line(LEFT + 4, TOP + 7.4, 120, "Reading of a dermatoscopic photo", 9.5, SUBDUED)
        zone = self.now.strftime("%z")
        when = f"{self.now.day} {self.now:%B %Y, %H:%M} (UTC{zone[:3]}:{zone[3:5]})"
        self._line(120, TOP + 7.4, RIGHT - 120, when, 9.5, SUBDUED, align="R")
        y = TOP + 16
        if label:
            self._line(LEFT, y, 22, "Case", 8.5, SUBDUED)
            known = self.shape(label)
            shown = "".join(c if ord(c) in known else NO_GLYPH for c in label)
            self._line(LEFT + 22, y, RIGHT - LEFT - 22, shown, 10, style="B", ours=False)
            self.paper.set_text_shaping(False)
            y += 7
        return self._notice(NOTICE, y)

    def conclusion(self, reading: Reading, sensitivity: float, y: float) -> float:
        """The headline: the flag at the operating point and what that costs, then the prediction set."""
        width = RIGHT - LEFT
        if reading.dermatoscopic is False:
            y = self._notice(STRANGE, y) + 3
        flag = flag_sentence(reading, sensitivity)
        if flag:
            y = self._text(LEFT, y, width, f"**{flag}**", 12)
            y = self._text(LEFT, y + 0.8, width, cost_sentence(reading, sensitivity), 8, SUBDUED)
        before, held = set_sentence(reading, sensitivity).split(": ", 1)
        y = self._text(LEFT, y + 1.6, width, f"{before}: **{held}**", 9.5)
        return self._text(LEFT, y + 0.8, width, missed_sentence(reading), 7.5, SUBDUED)

    def pictures(self, reading: Reading, saliency: SaliencyMap, opacity: float, y: float) -> float:
        """The photo, the overlay beside it, and what the map is."""
        name, method = BY_CODE[saliency.code].name, METHODS[saliency.method]
        self._picture(reading.square, LEFT, y, "The part of the photo that the network saw")
        end = y + PICTURE + 1.2
        self._line(LEFT, end, PICTURE, "What the network saw of the photo", 7, SUBDUED)
        x, column = LEFT + PICTURE + 3, LEFT + 2 * (PICTURE + 3) + 2
        width = RIGHT - column
        if not saliency.evidence:
            self._bar(x, y, PICTURE, PICTURE, PALE)
            words = f"No positive evidence for {name} in this photo: there is no map to show."
            self._text(x + 8, y + PICTURE / 2 - 5, PICTURE - 16, words, 9, SUBDUED, align="C")
            self._text(column, y, width, f"**Saliency map**\n{method}\nfor **{name}**", 8)
            return end + 4
        self._picture(
            overlay(reading.square, saliency, opacity), x, y, f"{method} saliency overlay for {name}"
        )
        self._line(x, end, PICTURE, f"The map on it, {opacity:.0%} opaque".replace("%", " %"), 7, SUBDUED)
        below = self._text(column, y, width, f"**Saliency map**\n{method}\nfor **{name}**", 8) + 1.5
        words = (
            "Where the network found its evidence, relative to the strongest place in this photo. It shows neither "
            "why nor how sure the network is."
        )
        below = self._text(column, below, width, words, 7, SUBDUED) + 2
        scale = Image.new("RGB", (64, 1))
        scale.putdata([ImageColor.getrgb(colour) for colour in legend_colours(64)])
        self.paper.image(
            scale, column, below, width, 3, alt_text="Colour scale from no to strongest evidence"
        )
        self._line(column, below + 3.6, width, "none (clear)", 6.5, SUBDUED)
        self._line(column, below + 3.6, width, "strongest", 6.5, SUBDUED, align="R")
        below += 8.5
        known = measured.trust(
            reading.classifier.folder, saliency.method, reading.classifier.configuration.map_layer
        )
        if known:
            words = (
                f"Measured on {known.photos} outlined lesions: {percent(known.inside)} of such maps lay on the "
                f"lesion; of a mere blob in the middle, {percent(known.centred)}."
            )
            self._text(column, below, width, words, 7, SUBDUED)
        return end + 4

    def bars(self, reading: Reading, sensitivity: float, y: float) -> float:
        """Seven bars, the most probable class first; those of the prediction set are marked."""
        self._line(LEFT, y, 110, "Probability of each class", 9, style="B")
        coverage = percent(reading.classifier.configuration.set_coverage)
        words = f"in the {coverage} set"
        self._line(60, y + 0.3, 60, words, 7, SUBDUED, align="R")
        self._bar(120 - 1.8 - self.paper.get_string_width(words), y + 0.5, 0.8, 2.8, TEAL)
        held = {lesion.code for lesion in reading.held_at(sensitivity)}
        y += 5.6
        for code, share in sorted(reading.prediction.by_code.items(), key=lambda item: -item[1]):
            lesion = BY_CODE[code]
            if code in held:
                self._bar(LEFT, y, 0.8, 5.6, TEAL)
            right = self._line(LEFT + 2.4, y, 80, lesion.name, 8)
            right = self._line(right + 1.5, y + 0.3, 14, code, 6.5, SUBDUED)
            if lesion.suspicious:
                self._line(right + 1.5, y + 0.3, 24, lesion.malignancy, 6.5, AMBER)
            self._line(100, y, 20, percent(share), 8, align="R")
            self._bar(LEFT + 2.4, y + 4, 101.6, 1.5, TRACK)
            self._bar(LEFT + 2.4, y + 4, max(101.6 * share, 0.1), 1.5, TEAL)
            y += 6.9
        return y

    def target(self, reading: Reading, sensitivity: float, y: float) -> float:
        """Malignant or premalignant against the operating point, in words, and what that point costs."""
        x, width = 128.0, RIGHT - 128
        inner, y0 = width - 8, y
        share = percent(reading.probability("malignant"))
        asked = percent(sensitivity)
        found = reading.flag("malignant", sensitivity)
        colour, words = SUBDUED, f"This network has no operating point for {asked}."
        if found:
            point, flagged = found
            colour = AMBER if flagged else TEAL
            share, threshold = apart(reading.probability("malignant"), point.threshold)
            verdict = "**above**" if flagged else "**below**"
            words = (
                f"This is {verdict} the threshold of {threshold}, which is set to find {asked} of "
                f"malignant or premalignant lesions: the lesion is {'**flagged**' if flagged else '**not flagged**'}."
            )
        self._line(x + 4, y, inner, "Malignant or premalignant", 9, style="B")
        self._line(x + 4, y + 5.6, inner, share, 16, colour, "B")
        y = self._text(x + 4, y + 14.2, inner, words, 8)
        self._bar(x, y0, 0.8, y - y0, colour)
        return y

    def checks(self, checks: Sequence[Check], y: float, bottom: float) -> None:
        """The photo checks in two columns, failed ones first with what to do, in letters as small as their number asks."""
        self._line(LEFT, y, 100, "Photo checks", 9, style="B")
        y += 5.4
        if not checks:
            self._line(LEFT, y, RIGHT - LEFT, "None were made.", 8, SUBDUED)
            return
        ordered = sorted(checks, key=lambda check: check.passed)
        width = (RIGHT - LEFT - 6) / 2
        for size in np.arange(8, 2, -0.5).tolist():
            gap = size * POINT * 0.45
            heights = [self._height(width - 5, _check_words(check), size) + gap for check in ordered]
            half = _half(heights)
            if y + max(sum(heights[:half]), sum(heights[half:])) <= bottom:
                break
        for column, start, end in ((LEFT, 0, half), (LEFT + width + 6, half, len(ordered))):
            below = y
            for check, height in zip(ordered[start:end], heights[start:end], strict=True):
                mark, colour = ("✓", TEAL) if check.passed else ("!", AMBER)
                self._line(column, below, 4, mark, size, colour, "B")
                self._text(
                    column + 5, below, width - 5, _check_words(check), size, SUBDUED if check.passed else INK
                )
                below += height

    def foot_top(self, reading: Reading) -> float:
        """Where the foot has to begin so that it ends with the page."""
        return BOTTOM - 2 - self._height(RIGHT - LEFT, _mix_words(reading), 7) - 1 - 3 * 7 * POINT * LINE

    def foot(self, reading: Reading, y: float) -> None:
        """What the probabilities presume, and which network and program gave them."""
        width = RIGHT - LEFT
        self._bar(LEFT, y, width, 0.2, TRACK)
        y = self._text(LEFT, y + 2, width, _mix_words(reading), 7, SUBDUED) + 1
        classifier = reading.classifier
        named = (
            f"Network: {classifier.title}",
            f"sha256 {classifier.sha256}",
            f"Program: skinapp {__version__}",
        )
        for line in named:
            self._line(LEFT, y, width, line, 7, SUBDUED)
            y += 7 * POINT * LINE

    def _notice(self, words: str, y: float) -> float:
        first, rest = words.split(". ", 1) if ". " in words else ("", words)
        shown = f"**{first}.** {rest}" if first else rest
        height = self._height(RIGHT - LEFT - 8, shown, 8) + 3.2
        self._bar(LEFT, y, RIGHT - LEFT, height, PALE_AMBER)
        self._bar(LEFT, y, 1, height, AMBER)
        self._text(LEFT + 4, y + 1.6, RIGHT - LEFT - 8, shown, 8, (74, 42, 4))
        return y + height

    def _picture(self, image: Image.Image, x: float, y: float, described: str) -> None:
        """image: RGB (S, S), laid into a square of PICTURE millimetres."""
        buffer = io.BytesIO()
        _bare(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        with self.paper.rect_clip(x, y, PICTURE, PICTURE):
            self.paper.image(buffer, x, y, PICTURE, PICTURE, alt_text=described)

    def _bar(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self.paper.set_fill_color(*colour)
        self.paper.rect(x, y, width, height, style="F")

    def _line(
        self,
        x: float,
        y: float,
        width: float,
        words: str,
        size: float,
        colour: Colour = INK,
        style: str = "",
        align: str = "L",
        ours: bool = True,
    ) -> float:
        """One line as it is, cut where it is wider than there is room. ours: in the letters of our own fonts. Returns its right end."""
        self._pen(size, colour, style)
        words = self._printable(words) if ours else words
        cut = words
        while self.paper.get_string_width(cut) > width and len(words) > 1:
            words = words[:-1]
            cut = words.rstrip() + "…"
        self.paper.set_xy(x, y)
        self.paper.cell(width, size * POINT * LINE, cut, align=align)
        return x + self.paper.get_string_width(cut)

    def _text(
        self,
        x: float,
        y: float,
        width: float,
        words: str,
        size: float,
        colour: Colour = INK,
        align: str = "L",
    ) -> float:
        """Our own words, wrapped, **bold** between asterisks. Returns where they end."""
        self._pen(size, colour)
        self.paper.set_xy(x, y)
        self.paper.multi_cell(
            width, size * POINT * LINE, self._printable(words), align=align, markdown=True, new_y="NEXT"
        )
        return self.paper.get_y()

    def _height(self, width: float, words: str, size: float) -> float:
        """What `_text` would take."""
        self._pen(size, INK)
        step, shown = size * POINT * LINE, self._printable(words)
        height = self.paper.multi_cell(width, step, shown, markdown=True, dry_run=True, output="HEIGHT")
        return cast(float, height)

    def _pen(self, size: float, colour: Colour, style: str = "") -> None:
        self.paper.set_font("DejaVu", style, size)
        self.paper.set_text_color(*colour)

    def _printable(self, words: str) -> str:
        """fpdf2 would log the characters that the font lacks, and a case label is no business of the log's."""
        return "".join(c if c == "\n" or ord(c) in self.glyphs else NO_GLYPH for c in words)


def _mix_words(reading: Reading) -> str:
    mix = sorted(reading.classifier.configuration.presumed_mix.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{code} {round(100 * share)} %" for code, share in mix)
    return (
        f"The probabilities presume this mix of lesions: {shares}. Where yours differs, so do they. Anything that is none "
        "of the seven classes is forced into one of them."
    )


def _check_words(check: Check) -> str:
    return check.finding if check.passed else f"**{check.finding}** {check.advice}"


def _half(heights: Sequence[float]) -> int:
    """How many of the parts go into the first of two columns, so that the longer one is as short as can be."""
    return min(range(len(heights) + 1), key=lambda n: (max(sum(heights[:n]), sum(heights[n:])), -n))


def _bare(image: Image.Image) -> Image.Image:
    """A copy of the pixels alone: Pillow would write what else a picture carries into the file."""
    return Image.frombytes(image.mode, image.size, image.tobytes())
