"""The table of many photos and the evaluation of a batch, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from skinapp.labels import Agreement
from skinapp.lesions import BY_CODE, CODES
from skinapp.output.rows import Row
from skinapp.page.templating import render
from skinapp.words import as_share

PAGE_ROWS = 50  # a page of the table: what the browser gets at once, thumbnails included, stays under 200 KB
EMPTY = (
    '<div class="many-empty"><p class="waiting">The table appears here: each photo with its flag, the probability '
    "that it is malignant or premalignant, its prediction set, and the photo checks that it failed.</p></div>"
)

# Columns: what they are called, what they sort by, and whether the highest comes first when they are chosen.
COLUMNS: dict[str, tuple[str, Callable[[Row], Any], bool]] = {
    "name": ("Photo", lambda row: row.name.lower(), False),
    "flag": ("Flag", lambda row: row.flagged, True),
    "malignant": ("Malignant or premalignant", lambda row: row.malignant, True),
    "set": ("Prediction set", lambda row: len(row.held), True),
    "top": ("Most probable", lambda row: max(row.probabilities), True),
    "checks": ("Photo checks", lambda row: len(row.failed), True),
}


@dataclass(frozen=True)
class Order:
    """What the table is sorted by and which page of it is shown. column: a key of COLUMNS; page: from 0."""

    column: str = "malignant"
    descending: bool = True
    page: int = 0

    def after(self, column: str, page: Any) -> Order:
        """After a click on a column's header (again: the other way round), or on a page's number."""
        if column in COLUMNS:
            turned = not self.descending if column == self.column else COLUMNS[column][2]
            return Order(column, turned)
        try:
            return replace(self, page=max(0, int(page)))
        except (TypeError, ValueError):
            return self

    def arrange(self, rows: Sequence[Row]) -> list[int]:
        """The rows' places in the order of the table; photos without a result come after the others, broken files last."""
        places = range(len(rows))
        fine = [i for i in places if not rows[i].error]
        fine.sort(key=lambda i: COLUMNS[self.column][1](rows[i]), reverse=self.descending)
        fine.sort(key=lambda i: rows[i].strange)
        return fine + [i for i in places if rows[i].error]


def table_html(rows: Sequence[Row], thumbnails: Sequence[str], order: Order) -> str:
    """One page of the table. thumbnails: data URIs, one a row, empty for a broken file."""
    rows = rows[: len(thumbnails)]  # a run that goes on may be between the two
    places = order.arrange(rows)
    pages = max(1, -(-len(places) // PAGE_ROWS))
    page = min(order.page, pages - 1)
    first = page * PAGE_ROWS
    return render(
        "table",
        columns=COLUMNS,
        order=order,
        shown=[(rows[i], thumbnails[i]) for i in places[first : first + PAGE_ROWS]],
        threshold=next((row.threshold for row in rows if row.threshold is not None), None),
        first=first,
        page=page,
        pages=pages,
        count=len(places),
        lesions=BY_CODE,
        name_of=_name,
        number=_percent,
    )


def _name(row: Row) -> tuple[str, str]:
    """The folder and the file of a row's name."""
    place, _, file = row.name.replace("\\", "/").rpartition("/")
    return place, file


def agreement_html(found: Agreement) -> str:
    """The figures of a batch whose dx is known."""
    left_out = []
    if found.unlabelled:
        left_out.append(f"{found.unlabelled:,} read without a dx")
    if found.unused:
        left_out.append(f"{found.unused:,} dx without a photo that was read")
    note = f" Left out: {'; '.join(left_out)}." if left_out else ""
    note += "".join(f" {escape(sentence)}" for sentence in found.notes)
    classes = "".join(
        f'<tr><th scope="row">{code}</th><td>{as_share(one["precision"])}</td><td>{as_share(one["recall"])}</td>'
        f"<td>{as_share(one['f1'])}</td><td>{as_share(one['auc'])}</td><td>{one['photos']}</td></tr>"
        for code, one in found.per_class.items()
    )
    counts = "".join(
        f'<tr><th scope="row">{code}</th>'
        + "".join(_count(count, sum(row), i == j) for j, count in enumerate(row))
        + "</tr>"
        for i, (code, row) in enumerate(zip(CODES, found.confusion_matrix, strict=True))
    )
    names = "".join(
        f'<th scope="col"><abbr title="{escape(BY_CODE[code].name)}">{code}</abbr></th>' for code in CODES
    )
    return (
        f'<section class="many-figures" aria-label="Evaluation"><h2 class="small-head">Evaluation of {found.n:,} photos with a '
        f'dx</h2><p class="headline"><span>Accuracy <b>{as_share(found.accuracy)}</b></span> <span>Balanced accuracy '
        f'<b>{as_share(found.balanced_accuracy)}</b></span></p><p class="mix">Photos of the data set that the network has '
        f"learned from would flatter it.{note}</p>"
        '<div class="pair"><table class="figures"><caption>By class</caption><thead><tr><th scope="col">dx</th><th scope="col">'
        'Precision</th><th scope="col">Recall</th><th scope="col">F1</th><th scope="col">AUC</th><th scope="col">Photos</th>'
        f"</tr></thead><tbody>{classes}</tbody></table>"
        '<table class="figures"><caption>Confusion matrix (rows: dx, columns: most probable)</caption><thead><tr><td></td>'
        f"{names}</tr></thead><tbody>{counts}</tbody></table></div></section>"
    )


def _count(count: int, of: int, right: bool) -> str:
    shade = f' style="--share:{count / of:.2f}"' if count else ""
    return f'<td class="count{" right" if right else ""}"{shade}>{count}</td>'


def _percent(share: float) -> str:
    """`62.3 %`; no network is certain, so never 0 or 100."""
    return f"{100 * min(max(share, 0.001), 0.999):.1f} %"
