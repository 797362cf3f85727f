"""A reading to take along: a one-page PDF, a JSON document, a PNG of the overlay. Nothing of the photo's metadata or file name."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib
from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos
from PIL import Image, PngImagePlugin

from skinapp import NOTICE, __version__
from skinapp.lesions import BY_CODE
from skinapp.reading import Reading
from skinapp.saliency import METHODS, SaliencyMap, legend_colours, overlay
from skinapp.words import flag_sentence, percent, set_sentence

SCHEMA = "skinapp-reading/1"  # of the JSON document; `reading.schema.json` describes it
LONGEST_LABEL = 120  # characters of the case label
FONTS = (
    Path(matplotlib.get_data_path()) / "fonts" / "ttf"
)  # DejaVu has every script that a label is likely to need
TEAL, GREY, LIGHT, AMBER = (15, 118, 110), (90, 100, 115), (226, 232, 240), (180, 83, 9)
MARGIN, WIDTH = 16.0, 178.0  # millimetres on A4


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
    """The overlay as a PNG file that carries the notice. opacity in [0, 1]."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", NOTICE)
    return _file(overlay(reading.square, saliency, opacity), pnginfo=notes)


def pdf(
    reading: Reading,
    saliency: SaliencyMap,
    sensitivity: float,
    label: str,
    now: datetime,
    opacity: float = 0.5,
) -> bytes:
    """One A4 page. sensitivity: of the operating point that is told, one of the model's; the rest as above."""
    page = _Page()
    page.heading("skinapp", f"{now:%Y-%m-%d %H:%M %Z}")
    page.framed(NOTICE, AMBER)
    case = page.printable(tidy(label))
    if case:
        page.text(f"Case: {case}", 10, bold=True)
    side, gap, top = 62.0, 8.0, page.get_y() + 3
    page.image(io.BytesIO(_file(reading.square)), MARGIN, top, side, side)
    page.image(io.BytesIO(png(reading, saliency, opacity)), MARGIN + side + gap, top, side, side)
    page.set_xy(MARGIN, top + side + 1)
    page.set_left_margin(MARGIN)
    page.text("Left: what the network saw of the photo. Right: saliency map.", 8, colour=GREY)
    _legend(page, reading, saliency, MARGIN + 2 * (side + gap), top)
    page.set_xy(MARGIN, top + side + 8)

    page.text(
        f"Most probable: {reading.top.name}, {percent(max(reading.prediction.probabilities))}", 14, bold=True
    )
    page.text(f"{reading.top.description} This class is {reading.top.malignancy}.", 9, colour=GREY)
    page.text(set_sentence(reading), 10)
    flagged = flag_sentence(reading, sensitivity)
    if flagged:
        page.text(flagged, 10)
    page.ln(2)
    _bars(page, reading)
    page.ln(2)
    page.text("Photo checks", 10, bold=True)
    for check in sorted(reading.checks, key=lambda check: check.passed):
        page.text(f"{'✓' if check.passed else '!'}  {check.finding} {check.advice}".rstrip(), 9)
    page.ln(1)
    mix = ", ".join(
        f"{code} {percent(share)}" for code, share in reading.classifier.configuration.presumed_mix.items()
    )
    page.text(
        f"The probabilities presume this mix of lesions: {mix}. Where yours differs, so do they. Anything that is none of the "
        "seven classes is forced into one of them. A map shows neither why nor how sure the network is.",
        8,
        colour=GREY,
    )
    classifier = reading.classifier
    page.text(
        f"Network {classifier.title}, sha256 {classifier.sha256}. Program: skinapp {__version__}.",
        7,
        colour=GREY,
    )
    return bytes(page.output())


def tidy(label: str) -> str:
    """A case label on one line, without control characters, at most LONGEST_LABEL characters."""
    printable = "".join(c if c.isprintable() else " " for c in label)
    return " ".join(printable.split())[:LONGEST_LABEL]


def _legend(page: "_Page", reading: Reading, saliency: SaliencyMap, left: float, top: float) -> None:
    """The map's class, method and colours, in the column beside the pictures."""
    width = MARGIN + WIDTH - left
    method = METHODS[saliency.method]
    name = BY_CODE[saliency.code].name
    told = (
        f"{method} for {name}: where the network found its evidence, relative to the strongest place in this photo."
        if saliency.evidence
        else f"{method}: no positive evidence for {name} in this photo."
    )
    page.set_xy(left, top)
    page.text(told, 8, width=width)
    if not saliency.evidence:
        return
    colours = legend_colours(32)
    y = page.get_y() + 2
    for i, colour in enumerate(colours):
        page.set_fill_color(*(int(colour[k : k + 2], 16) for k in (1, 3, 5)))
        page.rect(left + i * width / len(colours), y, width / len(colours) + 0.1, 2.5, "F")
    page.set_xy(left, y + 3)
    page.text("none to strongest", 7, width=width, colour=GREY)


def _bars(page: "_Page", reading: Reading) -> None:
    """Seven bars, the most probable class first, those of the conformal set in bold."""
    held = {lesion.code for lesion in reading.held}
    start, length = MARGIN + 84, 78.0
    for code, share in sorted(reading.prediction.by_code.items(), key=lambda item: -item[1]):
        lesion, y = BY_CODE[code], page.get_y()
        page.text(f"{lesion.name} ({code})", 9, bold=code in held, width=82)
        page.set_fill_color(*LIGHT)
        page.rect(start, y + 1.3, length, 2.6, "F")
        page.set_fill_color(*TEAL)
        page.rect(start, y + 1.3, max(length * share, 0.2), 2.6, "F")
        below = page.get_y()
        page.set_xy(start + length + 2, y)
        page.text(percent(share), 9, bold=code in held, width=20)
        page.set_xy(MARGIN, below)


def _file(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


class _Page(FPDF):
    """A4 with our font; text flows down the page and never onto a second one."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.set_creator(f"skinapp {__version__}")
        self.set_title("skinapp: reading of a dermatoscopic photo")
        for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self.add_font("DejaVu", style, FONTS / name)
        self.set_auto_page_break(False)
        self.c_margin = 0
        self.set_margins(MARGIN, 14, 210 - MARGIN - WIDTH)
        self.add_page()

    def printable(self, text: str) -> str:
        """The text with a question mark for each character that the font lacks: fpdf2 would drop it, and log it."""
        known = self.fonts["dejavuB"].cmap  # type: ignore[union-attr]
        return "".join(character if ord(character) in known else "?" for character in text)

    def heading(self, name: str, aside: str) -> None:
        self.set_text_color(*TEAL)
        self.set_font("DejaVu", "B", 18)
        self.cell(WIDTH / 2, 9, name)
        self.set_text_color(*GREY)
        self.set_font("DejaVu", "", 9)
        self.cell(WIDTH / 2, 9, aside, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def framed(self, text: str, colour: tuple[int, int, int]) -> None:
        y = self.get_y() + 1
        self.set_xy(MARGIN + 3, y)
        self.text(text, 9, width=WIDTH - 3, colour=colour)
        self.set_fill_color(*colour)
        self.rect(MARGIN, y, 1, self.get_y() - y, "F")
        self.set_xy(MARGIN, self.get_y() + 2)

    def text(  # type: ignore[override]
        self,
        text: str,
        size: float,
        bold: bool = False,
        width: float = WIDTH,
        colour: tuple[int, int, int] = (20, 28, 40),
    ) -> None:
        """A paragraph at the current place; the next one begins below it at the same left edge."""
        left = self.get_x()
        self.set_text_color(*colour)
        self.set_font("DejaVu", "B" if bold else "", size)
        self.multi_cell(
            width, size * 0.5, text, align="L", wrapmode=WrapMode.WORD, new_x=XPos.LEFT, new_y=YPos.NEXT
        )
        self.set_x(left)
