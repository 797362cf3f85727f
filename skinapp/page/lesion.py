"""The tab for one lesion: a photo in; sentence, bars and saliency map out."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from skinapp import NOTICE
from skinapp.lesions import BY_CODE, CLASSES
from skinapp.page.engine import Engine, UnknownModel
from skinapp.preprocess import PhotoError

if TYPE_CHECKING:
    from skinapp.reading import Reading

CHOICES = [(f"{lesion.name} ({lesion.code})", lesion.code) for lesion in CLASSES]
WAITING = '<p class="waiting">The result appears here as soon as there is a photo.</p>'
# The photo and the map lie on top of each other in the browser, so opacity needs neither the server nor the network.
SET_OPACITY = "(percent) => document.documentElement.style.setProperty('--heat-opacity', percent / 100)"


def add(engine: Engine) -> None:
    """Add the tab's content to the page that is being built."""
    gr.HTML(
        '<div id="head"><h1>skinapp</h1><p>Seven class probabilities for a dermatoscopic photo, '
        "and where the network found its evidence</p></div>"
    )
    first, rest = NOTICE.split(". ", 1)
    gr.HTML(f'<p class="notice" role="note"><strong>{escape(first)}.</strong> {escape(rest)}</p>')
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo = _photo_input()
            model = gr.Dropdown(
                engine.choices, value=engine.names[0], label="Network", visible=len(engine.choices) > 1
            )
            gr.HTML(
                '<p class="mix">One lesion, in the middle, sharp. The centre square of the photo is what the network '
                "sees. The photo stays on this server for ten minutes at most and goes nowhere else.</p>"
            )
            mix = gr.HTML(elem_id="mix")
        with gr.Column(scale=6, min_width=320):
            sentence = gr.HTML(WAITING, elem_id="sentence")
            bars = gr.Label(
                label="Probability of each class",
                num_top_classes=len(CLASSES),
                show_heading=False,
                elem_id="bars",
            )
        with gr.Column(scale=6, min_width=320):
            saliency = gr.HTML(elem_id="saliency")
            with gr.Group(visible=False) as controls:
                code = gr.Dropdown(CHOICES, label="Class to explain", interactive=True)
                opacity = gr.Slider(0, 100, value=50, step=1, label="Opacity of the map, %", interactive=True)
    state = gr.State(None)  # memory.py sees to it that it is forgotten

    def show_reading(photo: str | None, model: str) -> list[Any]:
        if photo is None:
            return [None, WAITING, {}, "", "", None, gr.Group(visible=False)]
        try:
            reading = engine.read(photo, model)
        except (PhotoError, UnknownModel) as error:
            refusal = f'<p class="refusal" role="alert">{escape(str(error))}</p>'
            return [None, refusal, {}, "", "", None, gr.Group(visible=False)]
        return [
            reading,
            sentence_html(reading),
            {f"{BY_CODE[key].name} ({key})": share for key, share in reading.prediction.by_code.items()},
            mix_html(reading),
            saliency_html(reading, reading.top.code),
            reading.top.code,
            gr.Group(visible=True),
        ]

    def show_class(reading: Reading | None, code: str) -> str:
        if reading is None:
            return (
                '<p class="refusal" role="alert">This photo has been forgotten meanwhile: load it again.</p>'
            )
        return saliency_html(reading, code)

    gr.on(
        [photo.change, model.input],
        show_reading,
        [photo, model],
        [state, sentence, bars, mix, saliency, code, controls],
        api_visibility="private",
        show_progress="minimal",
    )
    code.input(
        show_class,
        [state, code],
        saliency,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",  # a class chosen while a map is being made is not dropped
    )
    opacity.input(None, opacity, None, js=SET_OPACITY)


def sentence_html(reading: Reading) -> str:
    """The most probable class in words, the conformal set, and the operating points."""
    top = reading.top
    coverage = reading.classifier.configuration.set_coverage
    held = ", ".join(escape(lesion.name) for lesion in reading.held)
    strange = (
        '<p class="notice" role="status">This does not look like a dermatoscopic photo to the network: its probabilities '
        "mean little here.</p>"
        if reading.dermatoscopic is False
        else ""
    )
    return (
        f'{strange}<p class="sentence" role="status">Most probable: <strong>{escape(top.name)}</strong>, '
        f"{_percent(max(reading.prediction.probabilities))} "
        f"<small>{escape(top.description)} This class is <b>{top.malignancy}</b>.</small></p>"
        f'<p class="held">With {_percent(coverage)} confidence one of: <b>{held}</b>.</p>{_flags_html(reading)}'
    )


def _flags_html(reading: Reading) -> str:
    """Malignant or premalignant against the operating points: the strictest one that flags the lesion, if any."""
    points = [(point, flagged) for point, flagged in reading.flags if point.target == "malignant"]
    if not points:
        return ""
    flagged = [point for point, passed in points if passed]
    share = f"Malignant or premalignant: <b>{_percent(reading.probability('malignant'))}</b>"
    if flagged:
        point = min(flagged, key=lambda point: point.sensitivity)
        verdict = f"above the threshold ({_percent(point.threshold)}) that finds {_percent(point.sensitivity)} of such lesions"
    else:
        point = max((point for point, _ in points), key=lambda point: point.sensitivity)
        verdict = (
            f"below even the threshold ({_percent(point.threshold)}) that finds {_percent(point.sensitivity)} "
            "of such lesions; the others are missed"
        )
    return f'<p class="held">{share}, {verdict}.</p>'


def _percent(share: float) -> str:
    """`62 %`; no network is certain, so never 0 or 100."""
    if share > 0.99:
        return "over 99 %"
    return (
        f"{share:.0%}".replace("%", " %") if share >= 0.01 else f"{max(share, 0.001):.1%}".replace("%", " %")
    )


def mix_html(reading: Reading) -> str:
    """Which class mix the probabilities presume."""
    mix = reading.classifier.configuration.presumed_mix
    shares = ", ".join(
        f"{code} {round(100 * share)} %" for code, share in sorted(mix.items(), key=lambda m: -m[1])
    )
    return (
        f'<p class="mix">The probabilities presume this mix of lesions: {shares}. Where yours differs, so do they. '
        f"Anything that is none of the seven classes is forced into one of them. Network: "
        f"{escape(reading.classifier.title)}, {reading.classifier.sha256[:12]}.</p>"
    )


def saliency_html(reading: Reading, code: str) -> str:
    """Photo and map on top of each other, with the legend; or the photo and the word that there is no evidence."""
    from skinapp.saliency import METHODS, heat, legend_colours

    lesion = BY_CODE[code]
    method = METHODS[reading.classifier.configuration.map_method]
    saliency = reading.saliency(code)
    square = (
        f'<img src="{_data_uri(reading.square, "JPEG")}" alt="The part of the photo that the network saw">'
    )
    if not saliency.evidence:
        return (
            f'<figure class="saliency"><div class="stack">{square}</div><figcaption role="status">'
            f"<strong>No positive evidence</strong> for {escape(lesion.name)} in this photo.</figcaption></figure>"
        )
    described = f"Saliency map: where the network found evidence for {lesion.name}"
    coloured = f'<img class="heat" src="{_data_uri(heat(saliency, reading.square.width), "PNG")}" alt="{escape(described)}">'
    return (
        f'<figure class="saliency"><div class="stack">{square}{coloured}</div><figcaption>'
        f"{method} for <strong>{escape(lesion.name)}</strong>: where the network found its evidence, relative to the "
        "strongest place in this photo. It does not show why, nor how sure the network is."
        f'<div class="scale" style="background:linear-gradient(90deg,{",".join(legend_colours())})"></div>'
        '<div class="ends"><span>none (clear)</span><span>some</span><span>strongest</span></div></figcaption></figure>'
    )


def _photo_input() -> gr.Image:
    """Drop, file, paste or camera."""
    photo = gr.Image(
        label="Dermatoscopic photo",
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        height=340,
        buttons=[],
        webcam_options=gr.WebcamOptions(
            mirror=False
        ),  # a mirrored lesion would be compared with its record in vain
        placeholder="Drop a photo here\nor click to choose one",
        alt_text="The photo as loaded",
        elem_id="photo",
    )

    def path_only(payload: Any) -> str | None:
        return payload.path if payload else None

    # Gradio would open the picture itself, and answer a damaged one with an error of its own before our decoder sees it.
    setattr(photo, "preprocess", path_only)  # noqa: B010  # an assignment would be a type error
    return photo


def _data_uri(image: Image.Image, kind: str) -> str:
    """The picture inside the page itself: no file of it is written or can be fetched."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
