"""What the tab "How good is it" shows: each view as HTML, from the figures of one network or of several."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from skinapp.decision import TARGETS
from skinapp.figures.measured import (
    Figure,
    Metrics,
    NotMeasured,
    PointFigures,
    headline,
    point_figures,
)
from skinapp.figures.published import CAUTIONS, PUBLISHED
from skinapp.lesions import BY_CODE, CODES
from skinapp.network.case_index import link
from skinapp.output import charts
from skinapp.page.result import refusal_html
from skinapp.words import as_share

FIGURES = {
    "accuracy": ("Accuracy", "how often the most probable class is the right one"),
    "balanced_accuracy": ("Balanced accuracy", "the same, each class counting alike"),
    "macro_f1": ("Macro F1", "found and rightly found together, mean of the classes"),
    "macro_auc": ("Macro AUC", "how well each class is told from the rest: .5 is chance, 1 perfect"),
    "ece": (
        "Calibration error",
        "how far the probabilities are from how often they are right; small is good",
    ),
    "melanoma_auc": ("Melanoma AUC", "how well melanoma is told from everything else"),
}
LESION_FILLS = "share of the photo that the lesion fills"  # a grouping of metrics.json


def overview_html(found: dict[str, Metrics | str]) -> str:
    """The headline figures, every model's side by side, the first one's foremost. found: by name, or why there are none."""
    measured = {name: metrics for name, metrics in found.items() if not isinstance(metrics, str)}
    refusals = "".join(refusal_html(reason) for reason in found.values() if isinstance(reason, str))
    if not measured:
        return refusals
    figures = {name: headline(metrics) for name, metrics in measured.items()}
    cards = []
    for key, (title, meaning) in FIGURES.items():
        rows = "".join(
            f'<p class="figure"><b data-figure="{escape(name)} {key}">{as_share(own[key].value)}</b> '
            f"<span>{_between(own[key])}</span>"
            + (f"<em>{escape(name)}</em>" if len(measured) > 1 else "")
            + f"</p>{_bar(own[key])}"
            for name, own in figures.items()
        )
        cards.append(f'<section class="card"><h2>{title}</h2>{rows}<p class="mix">{meaning}</p></section>')
    networks = "".join(f"<li>{_network(name, metrics)}</li>" for name, metrics in measured.items())
    some = next(iter(measured.values()))
    return (
        f'{refusals}<div class="cards">{"".join(cards)}</div><ul class="plain">{networks}</ul>'
        f'<p class="mix">{_provenance(some)} In brackets: 95 % intervals, from 1,000 bootstrap samples of whole lesions. The photos '
        "are of two clinics, mostly of fair skin, and of lesions that somebody chose to photograph: elsewhere expect less (see "
        "<i>Compared</i>). Nothing here shows that reading the probabilities helps anybody decide better.</p>"
    )


def classes_html(metrics: Metrics) -> str:
    """A table of the classes, and the confusion matrix."""
    per_class = metrics["cross_fitted"]["per_class"]
    rows = []
    for code in CODES:
        row, lesion = per_class[code], BY_CODE[code]
        cells = "".join(f"<td>{as_share(row[key])}</td>" for key in ("precision", "recall", "f1", "auc"))
        name = f'<th scope="row">{escape(lesion.name)} <small>{code}, {lesion.malignancy}</small></th>'
        rows.append(f"<tr>{name}{cells}<td>{row['support']}</td></tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Precision", "Recall", "F1", "AUC", "Photos"))
    table = _table(
        "Each class against the rest", f'<tr><th scope="col">Class</th>{head}</tr>', rows, "numbers"
    )
    return (
        f'<div class="sides">{table}{_confusion_html(metrics["cross_fitted"]["confusion_matrix"])}</div>'
        f'<p class="mix">Precision: of the lesions called so, how many are. Recall (sensitivity): of those that are, how many '
        f"are called so. Classes with few photos have wide intervals. {_provenance(metrics)}</p>"
    )


def _confusion_html(matrix: list[list[int]]) -> str:
    head = "".join(f'<th scope="col">{code}</th>' for code in CODES)
    rows = []
    for code, counts in zip(CODES, matrix, strict=True):
        cells = []
        for other, count in zip(CODES, counts, strict=True):
            share = count / max(sum(counts), 1)
            strong = " strong" if share > 0.5 else ""
            right = " right" if other == code else ""
            cells.append(f'<td class="shade{strong}{right}" style="--share:{share:.3f}">{count}</td>')
        rows.append(f'<tr><th scope="row">{code}</th>{"".join(cells)}</tr>')
    caption = "Confusion matrix: a row is what the lesion is, a column what was most probable"
    return _table(caption, f'<tr><th scope="col">dx</th>{head}</tr>', rows, "numbers confusion")


def curves_html(metrics: Metrics) -> str:
    """ROC and precision-recall."""
    return (
        f'<div class="sides">{_drawn("ROC, one class against the rest", charts.roc(metrics))}'
        f"{_drawn('Precision and recall', charts.precision_recall(metrics))}</div>"
        '<p class="mix">Solid: malignant or premalignant; dashed: benign. Precision depends on the mix of lesions: where a '
        f"class is rarer than here, more of those called so are not. {_provenance(metrics)}</p>"
    )


def calibration_html(metrics: Metrics) -> str:
    """Reliability before and after calibration."""
    crossed, fitted = metrics["cross_fitted"], metrics["calibration"]
    return (
        f'<div class="sides">{charts.reliability(metrics)}</div>'
        '<p class="mix">On the dotted line the network is right as often as it says. Points: measured, with 95 % intervals, where '
        f"there are at least {charts.FEWEST} photos; bars: the share of photos with such a probability. As shipped, "
        f"calibration takes {_percent(fitted['tau'])} of the training mix out again, which raises the recall of rare classes, "
        f"and divides the logits by {fitted['temperature']:.2f} (temperature). "
        f"A network whose "
        f"probabilities are exactly right would stay below {as_share(crossed['ece_by_chance'])} in 95 of 100 such samples. "
        f"{_provenance(metrics)}</p>"
    )


def operating_html(metrics: Metrics) -> str:
    """The drawing below the slider, with a mark that `explorer_html` moves."""
    return (
        f'<div class="marked">{charts.operating(metrics)}<span class="mark" aria-hidden="true"></span></div>'
        '<p class="mix">Specificity: the share of other lesions that is not flagged. Thresholds were fitted to one half of the '
        "validation lesions and measured on the other half, so the share found need not be the one asked for; the intervals hold "
        "them fixed.</p>"
    )


def explorer_html(metrics: Metrics, percent: float) -> str:
    """What finding that share of lesions costs, for each target, and the mark's place in the drawing."""
    place = f"<style>.marked .mark {{ left: {charts.operating_place(percent):.2f}%; }}</style>"
    cards = []
    for target in TARGETS:
        name = charts.TARGET_NAMES[target].capitalize()
        try:
            card = _costs(point_figures(metrics, target, percent / 100))
        except NotMeasured as reason:
            card = f'<p class="waiting">{escape(str(reason))}</p>'
        cards.append(f'<section class="card" data-target="{target}"><h2>{name}</h2>{card}</section>')
    return f'{place}<div class="stackedcards" role="status">{"".join(cards)}</div>'


def _costs(point: PointFigures) -> str:
    """One target's figures, as shares and as counts of a thousand photos of this mix."""
    sensitivity, specificity = point.sensitivity.value or 0.0, point.specificity.value or 0.0
    share = point.positive / point.photos
    ill, well = round(1000 * share), 1000 - round(1000 * share)
    found, alarms = round(ill * sensitivity), round(well * (1 - specificity))
    parts = (("found", found), ("missed", ill - found), ("alarms", alarms), ("spared", well - alarms))
    bar = "".join(f'<i class="{kind}" style="flex:{count}"></i>' for kind, count in parts)
    cells = (
        ("found (sensitivity)", "sensitivity", point.sensitivity, as_share),
        ("others not flagged (specificity)", "specificity", point.specificity, as_share),
        ("flagged in vain per lesion found", "alarms", point.false_alarms_per_find, _number),
    )
    figures = "".join(
        f'<div><p class="figure"><b data-figure="{key}">{shown(figure.value)}</b> <span>{_between(figure, shown)}</span></p>'
        f'<p class="mix">{name}</p></div>'
        for name, key, figure, shown in cells
    )
    what = charts.TARGET_NAMES[point.target]
    return (
        f'<div class="three">{figures}</div><div class="thousand" aria-hidden="true">{bar}</div>'
        f'<p class="legend"><span><i class="found"></i>{found} found</span> <span><i class="missed"></i>{ill - found} missed'
        f'</span> <span><i class="alarms"></i>{alarms} flagged in vain</span> <span><i class="spared"></i>{well - alarms} '
        f'not flagged</span></p><p class="mix">Of 1,000 photos of this data set’s mix, in which {ill} are {what}. '
        "The figures are those of points fitted like the shipped one, which flags a lesion from a probability of "
        f"{_percent(point.threshold)} on. In a practice such lesions are rarer, and more are flagged in vain for each one "
        "found.</p>"
    )


def groups_html(metrics: Metrics) -> str:
    """Accuracy and the area for malignant or premalignant of each group."""
    names = {
        "dx_type": "How the class was established",
        LESION_FILLS: "Share of the photo that the lesion fills",
    }
    words = {"histo": "histology", "follow_up": "follow-up", "consensus": "consensus", "confocal": "confocal"}
    head = (
        '<th scope="col">n <small>(malignant)</small></th><th scope="col" colspan="2">Accuracy</th>'
        '<th scope="col" colspan="2">AUC malignant</th>'
    )
    blocks: dict[str, list[str]] = {}
    for row in metrics["groups"]:
        accuracy = Figure(row["accuracy"], *row["accuracy_interval"])
        area = Figure(row["malignant_auc"], *(row["malignant_auc_interval"] or (None, None)))
        cells = "".join(
            f'<td title="{_between(figure)}">{as_share(figure.value)} <small>{_between(figure)}</small></td><td>{_bar(figure)}</td>'
            for figure in (accuracy, area)
        )
        name = words.get(row["group"], row["group"])
        blocks.setdefault(row["by"], []).append(
            f'<tr><th scope="row">{escape(name)}</th><td>{row["photos"]} <small>({row["malignant"]})</small></td>{cells}</tr>'
        )
    if not blocks:
        return '<p class="waiting">No group has enough photos to say anything about it.</p>'
    tables = []
    # The longest table last, so that two columns come out about equally long.
    for by, rows in sorted(blocks.items(), key=lambda block: len(block[1]) > 5 or block[0] == LESION_FILLS):
        title = names.get(by, by.capitalize())
        tables.append(
            _table(title, f'<tr><th scope="col">Group</th>{head}</tr>', rows, "numbers narrow groups")
        )
    return (
        f'<div class="columns">{"".join(tables)}</div><p class="mix">Groups of at least 20 photos; read the intervals '
        "(bars: from 0 to 1), most groups are small. AUC malignant: how well malignant or premalignant lesions are told from the "
        f"rest; - where a group has none. Skin tone is not recorded, so nothing can be said about it. {_provenance(metrics)}</p>"
    )


def corruptions_html(metrics: Metrics) -> str:
    """Fifteen small drawings."""
    drawn = charts.corruptions(metrics)
    if not drawn:
        return '<p class="waiting">Not measured for this network: python -m train.corruptions does it.</p>'
    clean = next(row for row in metrics["corruptions"] if row["strength"] == 0)
    views = "one view of each photo" if clean["views"] == 1 else f"{clean['views']} views of each photo"
    return (
        f'<div class="small">{drawn}</div><p class="mix">Balanced accuracy against the strength of the damage, 0 to 5; dotted: '
        f"undamaged photos, {as_share(clean['balanced_accuracy'])}. On {clean['photos']} report photos, at most 40 a class, from {views}. Where a "
        "curve falls, so must the trust: the probabilities do not fall in step. A photo must be sharp, well lit and free of "
        "noise.</p>"
    )


def mistakes_html(metrics: Metrics) -> str:
    """The most confident mistakes, each a link to the archive that is followed only when clicked."""
    rows = []
    for row in metrics["mistakes"]:
        name, address = escape(row["image_id"]), link(row["image_id"])
        named = (
            f'<a href="{address}" target="_blank" rel="noopener noreferrer">{name}</a>' if address else name
        )
        rows.append(
            f'<tr><th scope="row">{named}</th><td>{escape(row["dx"])} <small>{escape(row["dx_type"])}</small></td>'
            f"<td>{escape(row['predicted'])}</td><td>{as_share(row['probability'])}</td>"
            f"<td>{as_share(row['probability_of_dx'])}</td></tr>"
        )
    if not rows:
        return '<p class="waiting">There are no mistakes among the validation photos.</p>'
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Photo", "It is", "Most probable", "at", "Right class at")
    )
    half = (len(rows) + 1) // 2
    tables = [
        _table(f"Most confident mistakes, {kind}", f"<tr>{head}</tr>", part, "numbers narrow")
        for kind, part in (("surest", rows[:half]), ("next", rows[half:]))
        if part
    ]
    return (
        f'<div class="sides">{"".join(tables)}</div><p class="mix">A click on an id opens that photo’s entry in the ISIC archive, '
        "outside this program; nothing is fetched before. Small print under “It is”: how the class was established (histo: by "
        f"histology). {_provenance(metrics)}</p>"
    )


def comparison_html(metrics: Metrics) -> str:
    """Ours beside published figures, with what makes them more or less comparable."""
    crossed, own = metrics["cross_fitted"], metrics["model"]
    rows = [
        '<tr class="ours"><th scope="row">'
        f"this network ({escape(own['name'])}, {own['input_size']} px)</th><td>{crossed['n']:,} photos of HAM10000</td>"
        + "".join(
            f"<td>{as_share(crossed[key])}</td>" for key in ("accuracy", "balanced_accuracy", "macro_auc")
        )
        + f"<td>Split by lesion, {own['parameters'] / 1e6:.1f} million weights, HAM10000 alone.</td></tr>"
    ]
    for other in PUBLISHED:
        cells = "".join(
            f"<td>{as_share(value)}</td>"
            for value in (other.accuracy, other.balanced_accuracy, other.macro_auc)
        )
        who = escape(other.who)
        if other.source:
            who = f'<a href="{escape(other.source)}" target="_blank" rel="noopener noreferrer">{who}</a>'
        rows.append(
            f'<tr><th scope="row">{who}</th><td>{escape(other.test)}</td>{cells}<td>{escape(other.differs)}</td></tr>'
        )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Who", "Measured on", "Accuracy", "Balanced", "AUC", "What differs")
    )
    cautions = "".join(f"<li>{escape(caution)}</li>" for caution in CAUTIONS)
    return (
        f"{_table('Published figures for the same seven classes', f'<tr>{head}</tr>', rows, 'numbers words')}"
        f'<ul class="mix">{cautions}</ul>'
    )


def _network(name: str, metrics: Metrics) -> str:
    own, training = metrics["model"], metrics["training"]
    return (
        f"<b>{escape(name)}</b>: {escape(own['network'])}, {own['input_size']}x{own['input_size']} pixels, "
        f"{own['parameters'] / 1e6:.1f} million weights, trained for {training['epochs']} epochs in {training['minutes']} minutes"
    )


def _provenance(metrics: Metrics) -> str:
    """Which lesions the figures come from, in a sentence or two."""
    crossed = metrics["cross_fitted"]
    return (
        f"Measured on {crossed['n']:,} photos of {crossed['lesions']:,} lesions that training never saw, cross-fitted: each half is "
        "calibrated on the other (the epoch was chosen on one of them, which flatters a little)."
    )


def _table(caption: str, head: str, rows: list[str], kind: str) -> str:
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _drawn(title: str, drawing: str) -> str:
    return f'<figure class="drawn"><figcaption>{escape(title)}</figcaption>{drawing}</figure>'


def _bar(figure: Figure) -> str:
    """The interval and the figure on a line from 0 to 1, for the eye only: the numbers stand beside it."""
    if figure.value is None or figure.low is None or figure.high is None:
        return ""
    return (
        f'<div class="interval" aria-hidden="true"><i style="left:{100 * figure.low:.1f}%;'
        f'width:{100 * (figure.high - figure.low):.1f}%"></i><b style="left:{100 * figure.value:.1f}%"></b></div>'
    )


def _between(figure: Figure, shown: Callable[[float | None], str] | None = None) -> str:
    if figure.low is None or figure.high is None:
        return ""
    write = shown or as_share
    return f"[{write(figure.low)}, {write(figure.high)}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
