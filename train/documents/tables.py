"""The tables in README.md and in the model card, written from model/metrics.json.

A document holds `<!-- NAME: written by python -m train.report -->` ... `<!-- end of NAME -->` where a table of TABLES goes.
"""

import csv
import re
from collections.abc import Callable
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from skinapp.figures.evaluation import HEADLINE
from skinapp.figures.published import CAUTIONS, PUBLISHED
from skinapp.lesions import BY_CODE, CODES
from skinapp.network.folders import MODELS
from skinapp.network.saliency_methods import METHODS
from skinapp.words import as_share

MARKS = re.compile(
    r"(<!-- ([a-z ]+): written by python -m train.report -->\n).*?(<!-- end of \2 -->)", re.DOTALL
)
Metrics = dict[str, Any]  # model/metrics.json: by the name of the model


def with_tables(document: str, metrics: Metrics) -> str:
    """The document with what stands between its marks written anew. Raises ValueError without marks or with unknown ones."""
    if not MARKS.search(document):
        raise ValueError("The document has no place marked for the results.")
    unknown = {found[2] for found in MARKS.finditer(document)} - TABLES.keys()
    if unknown:
        raise ValueError(f"There is no table called {', '.join(sorted(unknown))}: {', '.join(TABLES)}.")
    return MARKS.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](metrics)}\n\n{found[3]}", document)


def with_model_index(card: str, metrics: Metrics) -> str:
    """The model card with the headline figures in its front matter, as Hugging Face's hub reads them."""
    parsed = ModelCard(card)
    front: Any = parsed.data  # has whatever fields it is given
    front.model_name = "skinapp"
    front.eval_results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="ham10000",
            dataset_name=f"HAM10000, {'report' if kind == 'report' else 'tune and report'} lesions, {kind}",
            dataset_split=kind,
            metric_type=figure,
            metric_name=f"{name}: {figure.replace('_', ' ')}",
            metric_value=round(evaluation[figure], 3),
        )
        for name, network in metrics.items()
        for kind, evaluation in (("report", network), ("cross-fitted", network["cross_fitted"]))
        for figure in HEADLINE
    ]
    return str(parsed)


def results_table(metrics: Metrics) -> str:
    """Markdown: the headline figures of every network in `model/metrics.json`, then a table per class."""
    evaluations, heads = [], []
    for name, network in metrics.items():
        evaluations += [network, network["cross_fitted"], network["shipped_tau"]]
        heads += [f"{name}: {kind}" for kind in ("report", "cross-fitted", "cross-fitted, tau as shipped")]
    lines = ["| figure | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    lines.append(
        "| photos (lesions) | " + " | ".join(f"{e['n']} ({e['lesions']})" for e in evaluations) + " |"
    )
    for figure in HEADLINE:
        cells = []
        for evaluation in evaluations:
            low, high = evaluation["confidence_intervals"][figure]
            cells.append(f"**{as_share(evaluation[figure])}** [{as_share(low)}, {as_share(high)}]")
        name = (
            figure.replace("_", " ")
            .replace("ece", "calibration error (ECE)")
            .replace("auc", "AUC")
            .replace("f1", "F1")
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, network in metrics.items():
        lines += [
            "",
            f"Per class, {name}, cross-fitted:",
            "",
            "| dx | class | precision | recall | F1 | AUC | photos |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for code in CODES:
            row = network["cross_fitted"]["per_class"][code]
            cells = [as_share(row[key]) for key in ("precision", "recall", "f1", "auc")]
            lines.append(f"| {code} | {BY_CODE[code].name} | " + " | ".join(cells) + f" | {row['support']} |")
    return "\n".join(lines)


def sources(metrics: Metrics) -> str:
    """Markdown: the figures of each source, cross-fitted, and their mean over the sources."""
    heads = [
        "model",
        "source",
        "photos (lesions)",
        "accuracy",
        "balanced accuracy",
        "macro AUC",
        "melanoma AUC",
        "ECE (chance)",
    ]
    heads += ["95 % point: sensitivity", "specificity"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, network in metrics.items():
        columns: dict[str, list[float]] = {}
        for source, kinds in network["sources"].items():
            figures = kinds["cross_fitted"]
            malignant = [p for p in figures["operating_points"] if p["target"] == "malignant"]
            point = min(malignant, key=lambda p: abs(p["asked"] - 0.95))
            values = {
                "accuracy": (figures["accuracy"], figures["confidence_intervals"]["accuracy"]),
                "balanced": (
                    figures["balanced_accuracy"],
                    figures["confidence_intervals"]["balanced_accuracy"],
                ),
                "macro": (figures["macro_auc"], figures["confidence_intervals"]["macro_auc"]),
                "melanoma": (figures["melanoma_auc"], figures["melanoma_auc_interval"]),
                "ece": (figures["ece"], figures["confidence_intervals"]["ece"]),
                "sensitivity": (point["sensitivity"], point["sensitivity_interval"]),
                "specificity": (point["specificity"], point["specificity_interval"]),
            }
            cells = []
            for key, (value, interval) in values.items():
                if value is not None:
                    columns.setdefault(key, []).append(value)
                chance = f" ({as_share(figures['ece_by_chance'])})" if key == "ece" else ""
                cells.append("-" if value is None else f"{as_share(value)}{chance} {_between(interval)}")
            lines.append(
                f"| {name} | {source or 'the data set'} | {figures['n']} ({figures['lesions']}) | "
                + " | ".join(cells)
                + " |"
            )
        means = [as_share(sum(column) / len(column)) for column in columns.values()]
        lines.append(f"| {name} | **mean over sources** | - | " + " | ".join(means) + " |")
    return "\n".join(lines)


def calibration(metrics: Metrics) -> str:
    """The calibration error by what tau and temperature were fitted to, beside what chance would give a perfect network."""
    lines = [
        "| model | fitted to | tau | temperature | measured on | ECE | chance (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, network in metrics.items():
        shipped, same_tau, crossed = (network[key] for key in ("calibration", "shipped_tau", "cross_fitted"))
        lines.append(f"| {name} | nothing | 0 | 1 | report | {as_share(shipped['ece_before'])} | - |")
        for fitted, constants, measured, evaluation, chance in (
            ("tune, as shipped", (shipped,), "report", network, shipped),
            (
                "each half, tau as shipped",
                same_tau["fitted_on"].values(),
                "the other half",
                same_tau,
                same_tau,
            ),
            ("each half", crossed["fitted_on"].values(), "the other half", crossed, crossed),
        ):
            taus, temperatures = (
                " and ".join(dict.fromkeys(f"{one[key]:.2f}" for one in constants))
                for key in ("tau", "temperature")
            )
            error = f"{as_share(evaluation['ece'])} {_between(evaluation['confidence_intervals']['ece'])}"
            cells = (fitted, taus, temperatures, measured, error, as_share(chance["ece_by_chance"]))
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sets(metrics: Metrics) -> str:
    """Coverage and size of the conformal sets: as shipped on report lesions, and cross-fitted on all."""
    kinds = ("report", "cross_fitted")
    columns = [
        f"{n}: {kind.replace('_', '-')}, coverage | classes in a set | photos"
        for n in metrics
        for kind in kinds
    ]
    lines = ["| dx | " + " | ".join(columns) + " |", "|---|" + "---|---|---|" * len(columns)]
    for name in ("all", *CODES):
        rows = [network["sets"][kind][name] for network in metrics.values() for kind in kinds]
        cells = [
            f"{as_share(r['coverage'])} {_between(r['interval'])} | {r['size']:.2f} | {r['photos']}"
            for r in rows
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, network in metrics.items():
        report, crossed = (network["sets"][kind] for kind in kinds)
        tune = {code: crossed[code]["photos"] - report[code]["photos"] for code in CODES}
        fewest, most = min(tune, key=tune.__getitem__), max(tune, key=tune.__getitem__)
        lines.append(
            f"\n{name}: {report['all']['single']:.0%} of the sets of report lesions hold a single class, cross-fitted "
            f"{crossed['all']['single']:.0%}. A class's threshold rests on its tune photos, which are few for some: "
            f"{tune[fewest]} for {fewest}, {tune[most]} for {most}."
        )
    return "\n".join(lines)


def operating_points(metrics: Metrics) -> str:
    """The shipped thresholds and what they cost on report lesions; beside that, points fitted alike, cross-fitted."""
    figures = ("sensitivity", "specificity", "false_alarms_per_find")
    heads = [
        f"{where}: sensitivity | specificity | flagged in vain per find"
        for where in ("report", "points fitted like this, on the other half")
    ]
    lines = ["| model | target | asked | threshold | " + " | ".join(heads) + " |", "|---|" + "---|" * 9]
    for name, network in metrics.items():
        both = zip(*(network["operating_points"][kind] for kind in ("report", "cross_fitted")), strict=True)
        for shipped, crossed in both:
            cells = [f"{shipped['asked']:.0%}", f"{shipped['threshold']:.4f}"]
            for row in (shipped, crossed):
                for figure in figures:
                    written = _ratio if figure == "false_alarms_per_find" else as_share
                    cells.append(f"{written(row[figure])} {_between(row[f'{figure}_interval'], written)}")
            lines.append(f"| {name} | {shipped['target']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def groups(metrics: Metrics) -> str:
    """Accuracy and the area for malignant or premalignant by group, cross-fitted."""
    head = " | ".join(f"{n}: accuracy | {n}: AUC malignant" for n in metrics)
    lines = [f"| by | group | photos (malignant) | {head} |", "|---|---|---|" + "---|" * 2 * len(metrics)]
    networks = [network["groups"] for network in metrics.values()]
    for rows in zip(*networks, strict=True):
        cells = []
        for row in rows:
            area = "-" if row["malignant_auc"] is None else as_share(row["malignant_auc"])
            around = _between(row["malignant_auc_interval"]) if row["malignant_auc_interval"] else ""
            cells += [
                f"{as_share(row['accuracy'])} {_between(row['accuracy_interval'])}",
                f"{area} {around}".strip(),
            ]
        first = rows[0]
        counts = f"{first['photos']} ({first['malignant']})"
        lines.append(f"| {first['by']} | {first['group']} | {counts} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mistakes(metrics: Metrics) -> str:
    """The most confident mistakes of the default model, by image id."""
    name, network = next(iter(metrics.items()))
    lines = [
        f"| image ({name}) | dx (dx_type) | top class | its probability | that of dx |",
        "|---|---|---|---|---|",
    ]
    for row in network["mistakes"]:
        cells = [row["image_id"], f"{row['dx']} ({row['dx_type']})", row["predicted"]]
        lines.append(
            "| "
            + " | ".join([*cells, as_share(row["probability"]), as_share(row["probability_of_dx"])])
            + " |"
        )
    return "\n".join(lines)


def corruptions(metrics: Metrics) -> str:
    """Balanced accuracy by corruption and strength."""
    lines = []
    for name, network in metrics.items():
        rows = network["corruptions"]
        if not rows:
            continue
        clean = next(row for row in rows if row["strength"] == 0)
        views = f"{clean['views']} view{'s' * (clean['views'] > 1)}"
        clear = as_share(clean["balanced_accuracy"])
        title = f"{name}: balanced accuracy (clean {clear}, {clean['photos']} photos, {views})"
        lines += [f"| {title} | 1 | 2 | 3 | 4 | 5 |", "|---|---|---|---|---|---|"]
        for corruption in dict.fromkeys(row["corruption"] for row in rows if row["strength"]):
            own = sorted((r for r in rows if r["corruption"] == corruption), key=lambda r: r["strength"])
            cells = " | ".join(as_share(row["balanced_accuracy"]) for row in own)
            lines.append(f"| {corruption.replace('_', ' ')} | {cells} |")
        lines.append("")
    return "\n".join(lines).strip() or "Not measured."


def maps(metrics: Metrics) -> str:
    """What the saliency methods are worth, on report lesions."""
    lines = []
    for name, network in metrics.items():
        rows = [row for row in network["maps"] if row["part"] == "report"]
        if not rows:
            continue
        lines += [
            f"| {name}: method | layer | inside | pointing | insertion | deletion | ms | sanity: logits, head, all |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            cells = [as_share(row[key]) for key in ("inside", "pointing", "insertion", "deletion")]
            cells.append("-" if row["milliseconds"] is None else f"{row['milliseconds']:.0f}")
            checks = (row["sanity_logits"], row["sanity_head"], row["sanity_all"])
            cells.append(", ".join("-" if check is None else f"{check:.2f}" for check in checks))
            lines.append(f"| {row['method']} | {row['layer'] or '-'} | " + " | ".join(cells) + " |")
        lines += ["", f"{name}: {rows[0]['photos']} photos.", ""]
    return "\n".join(lines).strip() or "Not measured."


def margins(metrics: Metrics) -> str:
    """By how much the map that ships is better than each other one, on report lesions."""
    lines: list[str] = []
    for name, network in metrics.items():
        for method in dict.fromkeys(row["method"] for row in network["margins"]):
            rows = [row for row in network["margins"] if row["method"] == method]
            first, own = rows[0], " | ".join(as_share(row["own"]) for row in rows)
            if not lines:
                measures = " | ".join(row["measure"] for row in rows)
                lines = [f"| model | map | {measures} |", f"|---|---|{'---|' * len(rows)}"]
            shown = f"| {name} | **{METHODS[first['shown']]}** at `{first['layer']}`, {first['photos']} photos | {own} |"
            if shown not in lines:
                lines.append(shown)
            cells = [
                f"{as_share(row['other'])}: {_gain(row['own'] - row['other'])} [{_gain(row['low'])}, {_gain(row['high'])}]"
                for row in rows
            ]
            lines.append(
                f"| {name} | than {METHODS.get(method, 'a blob in the middle')} | {' | '.join(cells)} |"
            )
    return "\n".join(lines) or "Not measured."


def dermatoscopic(metrics: Metrics) -> str:
    """Which share of what passes as a dermatoscopic photo."""
    lines = []
    for name, network in metrics.items():
        if not network["dermatoscopic"]:
            continue
        lines += [f"| {name}: what | photos | pass | withheld |", "|---|---|---|---|"]
        for row in network["dermatoscopic"]:
            lines.append(f"| {row['what']} | {row['photos']} | {row['kept']:.1%} | {row['withheld']:.1%} |")
        lines.append("")
    return "\n".join(lines).strip() or "Not measured."


def similar(metrics: Metrics) -> str:
    """Retrieval precision at 8: how many of the eight nearest training photos have the photo's dx."""
    lines = []
    for name, network in metrics.items():
        tune, report = (
            {row["what"]: row for row in network["similar"] if row["part"] == part}
            for part in ("tune", "report")
        )
        if not tune or not report:
            continue
        lines += [
            f"| {name}: dx | by chance | report | photos | tune | photos |",
            "|---|---|---|---|---|---|",
        ]
        for what in [what for what in ("all", "macro", *CODES) if what in tune or what in report]:
            cells = [as_share((report.get(what) or tune[what])["prior"])]
            for row in (report.get(what), tune.get(what)):
                if row is None:
                    cells += ["-", "0"]
                else:
                    cells.append(f"{as_share(row['precision'])} {_between((row['low'], row['high']))}")
                    cells.append(str(row["photos"]))
            lines.append(f"| {what} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).strip() or "Not measured."


def comparison(metrics: Metrics) -> str:
    """Ours, cross-fitted, beside what others published."""
    keys = ("accuracy", "balanced_accuracy", "macro_auc")
    lines = [
        "| who | measured on | accuracy | balanced | AUC | what differs |",
        "|---|---|---|---|---|---|",
    ]
    for name, network in metrics.items():
        crossed = network["cross_fitted"]
        cells = " | ".join(as_share(crossed[key]) for key in keys)
        lines.append(
            f"| **{name}** | {crossed['n']:,} photos of HAM10000 | {cells} | Split by lesion, HAM10000 alone. |"
        )
    for other in PUBLISHED:
        who = f"[{other.who}]({other.source})" if other.source else other.who
        cells = " | ".join(as_share(getattr(other, key)) for key in keys)
        lines.append(f"| {who} | {other.test} | {cells} | {other.differs} |")
    return "\n".join([*lines, "", *(f"- {caution}" for caution in CAUTIONS)])


def partitions(_: Metrics) -> str:
    """Photos and lesions of each class on each side of model/split.csv."""
    with (MODELS / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sources = list(dict.fromkeys(row["source"] for row in rows))
    groups = [("all", lambda row: True)] + [(dx, lambda row, dx=dx: row["dx"] == dx) for dx in CODES]
    groups += [(source, lambda row, source=source: row["source"] == source) for source in sources]
    lines = ["| photos (lesions) | train | tune | report |", "|---|---|---|---|"]
    for name, belongs in groups:
        cells = []
        for part in ("train", "tune", "report"):
            own = [row["lesion_id"] for row in rows if row["part"] == part and belongs(row)]
            cells.append(f"{len(own):,} ({len(set(own)):,})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Metrics], str]] = {
    "partitions": partitions,
    "results": results_table,
    "sources": sources,
    "calibration": calibration,
    "sets": sets,
    "operating points": operating_points,
    "groups": groups,
    "mistakes": mistakes,
    "corruptions": corruptions,
    "maps": maps,
    "margins": margins,
    "dermatoscopic": dermatoscopic,
    "similar": similar,
    "comparison": comparison,
}


def _gain(value: float) -> str:
    """`+.061` or `-.061`."""
    return ("-" if value < 0 else "+") + as_share(abs(value))


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _between(interval: tuple[float, float] | None, written: Callable[[float], str] = as_share) -> str:
    return "" if interval is None else f"[{written(interval[0])}, {written(interval[1])}]"
