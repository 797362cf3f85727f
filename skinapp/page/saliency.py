"""The saliency map as the page shows it: on the photo or beside it, with its legend and what the method is worth."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skinapp.figures import measured
from skinapp.lesions import BY_CODE
from skinapp.network.saliency_methods import METHODS
from skinapp.output.words import percent
from skinapp.page.pictures import data_uri

if TYPE_CHECKING:
    from skinapp.reading import Reading

BLIND = 0.5  # rank correlation with a map of a network that knows nothing from which a map is said to show the photo only


def saliency_html(reading: Reading, code: str, method: str) -> str:
    """Photo and map on top of each other, with the legend; or the photo and the word that there is no evidence.

    Map and photo are two pictures, so that opacity and view are changed in the browser alone.
    """
    from skinapp.network.saliency import heat, legend_colours

    lesion = BY_CODE[code]
    saliency = reading.saliency(code, method)
    square = (
        f'<img src="{data_uri(reading.square, "JPEG")}" alt="The part of the photo that the network saw">'
    )
    if not saliency.evidence:
        return (
            f'<figure class="saliency"><div class="stack">{square}</div><figcaption role="status">'
            f"<strong>No positive evidence</strong> for {escape(lesion.name)} in this photo.</figcaption></figure>"
        )
    described = f"Saliency map: where the network found evidence for {lesion.name}"
    heated = data_uri(heat(saliency, reading.square.width), "PNG")
    return (
        f'<figure class="saliency"><div class="stacks"><div class="stack bare">{square}</div>'
        f'<div class="stack">{square}<img class="heat" src="{heated}" alt="{escape(described)}"></div></div>'
        f"<figcaption>{METHODS[method]} for <strong>{escape(lesion.name)}</strong>: where the network found its "
        "evidence, relative to the strongest place in this photo. It shows neither why nor how sure the network is."
        f'<div class="scale" role="img" aria-label="Colour scale from no to strongest evidence" '
        f'style="background:linear-gradient(90deg,{",".join(legend_colours())})"></div>'
        '<div class="ends"><span>none (clear)</span><span>some</span><span>strongest</span></div>'
        f"{trust_html(reading, method)}</figcaption></figure>"
    )


def trust_html(reading: Reading, method: str) -> str:
    """What was measured of the method, in a sentence; empty where nothing was."""
    classifier = reading.classifier
    known = measured.trust(classifier.folder, method, classifier.configuration.map_layer)
    if known is None:
        return ""
    sentence = (
        f"On {known.photos} outlined lesions {percent(known.inside)} of this method's map lay on the lesion; of a mere blob "
        f"in the middle, {percent(known.centred)}."
    )
    if known.sanity >= BLIND:
        sentence += " Its maps hardly change where the network is made to forget: they show the photo more than the network."
    return f'<p class="trust">{sentence}</p>'
