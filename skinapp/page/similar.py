"""Eight similar cases as a row of cards; without thumbnails they are smaller, not emptier."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from skinapp.lesions import BY_CODE
from skinapp.network.case_index import Case, nearest, thumbnail
from skinapp.page.pictures import data_uri

if TYPE_CHECKING:
    from skinapp.reading import Reading

KNOWN_BY = {
    "histo": "histology",
    "follow_up": "follow-up",
    "confocal": "confocal microscopy",
}

# Cards are as wide as a photo needs; a phone shows two in a row, the page's column four.
CSS = """
.cases { list-style: none; margin: 8px 0 0; padding: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); }
.cases li { margin: 0; padding: 8px 10px; border: 1px solid var(--border-color-primary); border-radius: 8px;
  background: var(--block-background-fill); font-size: .82rem; line-height: 1.35; color: var(--body-text-color);
  overflow-wrap: anywhere; }
.cases img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 5px; margin: 0 0 6px; }
.cases strong { display: block; font-weight: 650; }
.cases span { display: block; color: var(--body-text-color-subdued); }
.cases a { display: block; margin: 0; padding: 0; text-align: left; color: var(--primary-700); text-decoration: underline; }
.dark .cases a { color: var(--primary-300); }
.cases-note { margin: 6px 0 0; font-size: .82rem; color: var(--body-text-color-subdued); }
@media (min-width: 641px) { #map-column .cases { grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 6px; }
  #map-column .cases li { padding: 5px 6px; font-size: .73rem; } #map-column .cases a { font-size: .7rem; } }
@media (max-width: 640px) { .cases { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
"""


def similar_html(reading: Reading) -> str:
    """The training cases that resemble the photo most."""
    return cases_html(nearest(reading))


def cases_html(cases: Sequence[Case]) -> str:
    """A list of cards, nearest first: class, how it is known, distance, link to the ISIC archive, and a thumbnail where a
    local copy of the data set holds the photo. A sentence where there are no cases."""
    if not cases:
        return '<p class="cases-note">This network brings no index of training cases.</p>'
    cards = "".join(_card(number, case) for number, case in enumerate(cases, start=1))
    return (
        f'<ol class="cases" role="list" aria-label="Training photos nearest to this one, the nearest first">{cards}</ol>'
        '<p class="cases-note">The training photos that resemble this one most to the network, not necessarily to a person: where it errs, '
        "most of them share its mistake. "
        "Distance 1 is how far a photo it has not seen typically is from its nearest case.</p>"
    )


def _card(number: int, case: Case) -> str:
    lesion = BY_CODE[case.dx]
    known = KNOWN_BY.get(case.dx_type, case.dx_type)
    picture = thumbnail(case.image_id)
    shown = (
        f'<img src="{data_uri(picture, "JPEG")}" alt="Case {number}, {escape(lesion.name)}" loading="lazy">'
        if picture
        else ""
    )
    name = escape(case.image_id)
    source = (
        f'<a href="{escape(case.link)}" target="_blank" rel="noopener noreferrer">{name}</a>'
        if case.link
        else name
    )
    facts = f"{lesion.malignancy}, by {escape(known)}" if known else lesion.malignancy
    return (
        f"<li>{shown}<strong>{escape(lesion.name)}</strong><span>{facts}</span>"
        f"<span>distance {case.distance:.2f}</span>{source}</li>"
    )
