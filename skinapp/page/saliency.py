"""The saliency map as the page shows it: on the photo or beside it, with its legend and what the method is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skinapp.figures import measured
from skinapp.lesions import BY_CODE
from skinapp.network.saliency_methods import METHODS
from skinapp.page.pictures import data_uri
from skinapp.page.templating import render
from skinapp.words import percent

if TYPE_CHECKING:
    from skinapp.reading import Reading

BLIND = 0.5  # rank correlation with a map of a network that knows nothing from which a map is said to show the photo only


def saliency_html(reading: Reading, codes: Sequence[str], method: str) -> str:
    """The viewer: the photo and the maps of one or three classes upon it, with the legend. codes: of the classes.

    Map and photo are two pictures, so that zoom, opacity and view are changed in the browser alone.
    """
    from skinapp.network.saliency import heat, legend_colours

    maps = []
    for code in codes:
        saliency = reading.saliency(code, method)
        heated = data_uri(heat(saliency, reading.square.width), "PNG") if saliency.evidence else ""
        maps.append({"name": BY_CODE[code].name, "heat": heated})
    return render(
        "viewer",
        square=data_uri(reading.square, "JPEG"),
        maps=maps,
        three=len(maps) > 1,
        method=METHODS[method],
        colours=",".join(legend_colours()),
        trust=trust_sentence(reading, method),
    )


def trust_sentence(reading: Reading, method: str) -> str:
    """What was measured of the method; empty where nothing was."""
    classifier = reading.classifier
    known = measured.trust(classifier.folder, method, classifier.configuration.map_layer)
    if known is None:
        return ""
    sentence = (
        f"On {known.photos} test lesions, {percent(known.inside)} of this map falls inside the lesion. A plain circle in the "
        f"centre reaches {percent(known.centred)}."
    )
    if known.sanity >= BLIND:
        sentence += " This map stays almost the same when the weights are randomised, so it says little about this network."
    return sentence
