"""The documents' tables, from figures that the real measuring functions made of drawn probabilities."""

import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import yaml

from skinapp.decision import SENSITIVITIES, TARGETS, OperatingPoint, conformal_set, target_probability
from skinapp.figures import evaluation as figures_module
from skinapp.figures.evaluation import HEADLINE, evaluate
from skinapp.lesions import CODES
from train.corruptions import CorruptionFigures
from train.dermatoscopic import Passing
from train.documents.tables import TABLES, Metrics, with_model_index, with_tables
from train.maps import MapRow
from train.margins import Margin
from train.probabilities.decisions import measure_points, measure_sets
from train.probabilities.failures import by_group, mistakes
from train.similar import Retrieval
from train.validation import Photo

POINTS = tuple(
    OperatingPoint(target, s, round(0.5 - s / 2.1, 4)) for target in TARGETS for s in SENSITIVITIES
)
ALL = tuple(TABLES)


def network(seed: int) -> dict:
    """One network's part of metrics.json, as far as these tables read it."""
    random = np.random.default_rng(seed)
    labels = np.arange(140) % 7
    logits = 2.0 * np.eye(7)[labels] + random.normal(0, 1, (140, 7))
    shown = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    lesions = [f"lesion_{i}" for i in range(140)]
    photos = [
        Photo(f"ISIC_{i:07d}", lesions[i], CODES[labels[i]], "tune", "histo", "50", "male", "back", "0.2")
        for i in range(140)
    ]
    parts = {"report": slice(65), "cross_fitted": slice(140)}
    held = conformal_set(shown, np.full(7, 0.6))
    sets = {
        kind: {k: asdict(v) for k, v in measure_sets(labels[own], held[own], lesions[own]).items()}
        for kind, own in parts.items()
    }
    flags = np.stack([target_probability(shown, p.target) >= p.threshold for p in POINTS], axis=1)
    points = {
        kind: [
            asdict(p) for p in measure_points(labels[own], flags[own], lesions[own], POINTS, kind == "report")
        ]
        for kind, own in parts.items()
    }
    evaluation = asdict(evaluate(labels, shown, lesions))
    clean = CorruptionFigures("none", 0, 205, 1, 0.8, 0.71, 0.95, 0.05, 0.8)
    damaged = [
        replace(clean, corruption=name, strength=strength, balanced_accuracy=0.7 - strength / 20)
        for name in ("gaussian_noise", "zoom_blur")
        for strength in (3, 1, 2, 5, 4)
    ]
    return evaluation | {
        "cross_fitted": evaluation | {"ece_by_chance": 0.0712, "fitted_on": fitted_on(0.35, 0.85)},
        "shipped_tau": evaluation | {"ece_by_chance": 0.0734, "fitted_on": fitted_on(0.35, 0.35), "accuracy": 0.4567},
        "calibration": {
            "temperature": 1.2345, "tau": 0.35, "ece_before": 0.0987, "ece_after": 0.0321, "ece_by_chance": 0.04,
        },
        "sources": {
            source: {
                "cross_fitted": evaluation
                | {
                    "ece_by_chance": 0.05,
                    "melanoma_auc": area,
                    "melanoma_auc_interval": None if area is None else (0.8, 0.95),
                    "operating_points": points["cross_fitted"],
                }
            }
            for source, area in (("ham10000", 0.912), ("elsewhere", None))
        },
        "sets": {"promised": 0.9} | sets,
        "operating_points": points,
        "groups": [asdict(group) for group in by_group(photos, labels, shown)],
        "mistakes": [asdict(mistake) for mistake in mistakes(photos, labels, shown)],
        "corruptions": [asdict(row) for row in (clean, *damaged)],
        "maps": [
            asdict(MapRow(method, layer, part, 40, 0.5, 0.25, 0.75, 0.125, *rest))
            for part in ("tune", "report")
            for method, layer, *rest in (("layercam", "relu", 3.6, 0.1, 0.2, -0.3), ("middle", ""))
        ],
        "margins": [
            asdict(Margin("layercam", "relu", method, measure, 40, 0.5, other, -0.125, 0.25))
            for method, other in (("gradcam", 0.4375), ("gaussian", 0.625))
            for measure in ("inside", "deletion")
        ],
        "dermatoscopic": [asdict(Passing("report lesions", 840, 0.9812, 0.0012, 1.0)), asdict(Passing("noise", 3, 0, 1.0, 9.0))],
        "similar": [
            asdict(Retrieval(part, what, 40, 30, 0.5, 0.25, 0.75, 0.125))
            for part in ("tune", "report")
            for what in ("all", "macro", *(CODES if part == "tune" else CODES[1:]))
        ],
    }  # fmt: skip


def fitted_on(*taus: float) -> dict:
    return {
        part: {"tau": tau, "temperature": temperature}
        for part, tau, temperature in zip(("tune", "report"), taus, (1.2345, 0.987), strict=True)
    }


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures_module, "RESAMPLES", 20)
        return {"fast": network(0), "detailed": network(1)}


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, or of several, without the lines below the headings."""
    lines = [line for line in table.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def document(*names: str) -> str:
    marks = [
        f"<!-- {name}: written by python -m train.report -->\nstale\n<!-- end of {name} -->" for name in names
    ]
    return "\n\n".join(["Before.", *marks, "After.\n"])


def test_tables_stand_between_their_marks(metrics: Metrics) -> None:
    text = with_tables(document("sets", "operating points"), metrics)
    assert text.startswith("Before.\n\n<!-- sets: written by python -m train.report -->\n\n| dx |")
    assert text.endswith("|\n\n<!-- end of operating points -->\n\nAfter.\n")
    assert "stale" not in text
    assert TABLES["sets"](metrics) in text and TABLES["operating points"](metrics) in text
    assert text.index(TABLES["sets"](metrics)) < text.index("<!-- end of sets -->")


@pytest.mark.parametrize("names", [ALL, ("results",), ("groups", "mistakes")], ids=len)
def test_writing_again_changes_nothing(names: tuple[str, ...], metrics: Metrics) -> None:
    once = with_tables(document(*names), metrics)
    assert with_tables(once, metrics) == once != document(*names)


def test_other_figures_change_the_document(metrics: Metrics) -> None:
    once = with_tables(document(*ALL), metrics)
    assert with_tables(once, metrics | {"fast": metrics["detailed"]}) != once


def test_unknown_and_missing_marks_are_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="no table called sizes: partitions, "):
        with_tables(document("results", "sizes"), metrics)
    with pytest.raises(ValueError, match="no place marked"):
        with_tables("A document without marks.", metrics)


@pytest.mark.parametrize("name", ALL)
def test_every_line_of_a_table_has_as_many_cells_as_its_heading(name: str, metrics: Metrics) -> None:
    for networks in (metrics, {"fast": metrics["fast"]}):
        width = None
        for line in TABLES[name](networks).splitlines():
            if not line.startswith("|"):
                width = None
                continue
            width = width or line.count("|")
            assert line.count("|") == width, line
        assert not re.search(r"\b(None|nan)\b", TABLES[name](networks))


def test_results_are_the_headline_figures(metrics: Metrics) -> None:
    table = rows(TABLES["results"](metrics))
    accuracy = next(row for row in table if row[0] == "accuracy")
    low, high = metrics["fast"]["confidence_intervals"]["accuracy"]
    expected = f"**{metrics['fast']['accuracy']:.3f}** [{low:.3f}, {high:.3f}]".replace("0.", ".")
    assert accuracy[1] == accuracy[2] == expected
    assert accuracy[3].startswith("**.457** [")
    assert len(accuracy) == 7


def test_calibration_tells_both_halves_constants(metrics: Metrics) -> None:
    low, high = metrics["fast"]["confidence_intervals"]["ece"]
    ece = f"{metrics['fast']['ece']:.3f} [{low:.3f}, {high:.3f}]".replace("0.", ".")
    assert [row[1:] for row in rows(TABLES["calibration"](metrics)) if row[0] == "fast"] == [
        ["nothing", "0", "1", "report", ".099", "-"],
        ["tune, as shipped", "0.35", "1.23", "report", ece, ".040"],
        ["each half, tau as shipped", "0.35", "1.23 and 0.99", "the other half", ece, ".073"],
        ["each half", "0.35 and 0.85", "1.23 and 0.99", "the other half", ece, ".071"],
    ]


def test_sets_have_a_line_for_all_and_one_a_class(metrics: Metrics) -> None:
    table = TABLES["sets"](metrics)
    assert [row[0] for row in rows(table)] == ["dx", "all", *CODES]
    for column, part in ((1, "report"), (4, "cross_fitted")):
        everything = metrics["fast"]["sets"][part]["all"]
        coverage, size, photos = rows(table)[1][column : column + 3]
        assert coverage.startswith(f"{everything['coverage']:.3f}".removeprefix("0") + " [")
        assert (size, photos) == (f"{everything['size']:.2f}", str(everything["photos"]))


def test_sets_tell_how_few_photos_a_threshold_rests_on(metrics: Metrics) -> None:
    first = TABLES["sets"](metrics).split("\n\n")[1]
    assert "few for some: 10 for akiec, 11 for bkl." in first


def test_operating_points_show_the_shipped_thresholds_and_points_fitted_alike(metrics: Metrics) -> None:
    table = rows(TABLES["operating points"](metrics))[1:]
    assert [row[:3] for row in table] == [
        [name, p.target, f"{p.sensitivity:.0%}"] for name in ("fast", "detailed") for p in POINTS
    ]
    assert [row[3] for row in table] == [f"{p.threshold:.4f}" for p in POINTS] * 2
    for column, part in ((4, "report"), (7, "cross_fitted")):
        figures = metrics["detailed"]["operating_points"][part][-1]
        assert table[-1][column].startswith(f"{figures['sensitivity']:.3f} [".replace("0.", "."))
        assert table[-1][column + 1].startswith(f"{figures['specificity']:.3f} [".replace("0.", "."))
        assert table[-1][column + 2].startswith(f"{figures['false_alarms_per_find']:.2f} [")


def test_groups_without_an_area_show_a_dash(metrics: Metrics) -> None:
    first = metrics["fast"]["groups"][0]
    bare = metrics["fast"] | {
        "groups": [first | {"malignant_auc": None, "malignant_auc_interval": None, "malignant": 0}]
    }
    assert rows(TABLES["groups"]({"fast": bare}))[1][-1] == "-"
    full = rows(TABLES["groups"](metrics))
    assert [row[:2] for row in full[1:]] == [[g["by"], g["group"]] for g in metrics["fast"]["groups"]]
    assert full[1][2] == f"{first['photos']} ({first['malignant']})"


def test_mistakes_are_the_default_model_s(metrics: Metrics) -> None:
    table = rows(TABLES["mistakes"](metrics))
    assert table[0][0] == "image (fast)"
    assert [row[0] for row in table[1:]] == [m["image_id"] for m in metrics["fast"]["mistakes"]]
    worst = metrics["fast"]["mistakes"][0]
    assert table[1][1:3] == [f"{worst['dx']} (histo)", worst["predicted"]]


def test_corruptions_go_by_strength(metrics: Metrics) -> None:
    table = rows(TABLES["corruptions"]({"fast": metrics["fast"]}))
    assert "clean .710, 205 photos" in table[0][0] and table[0][1:] == ["1", "2", "3", "4", "5"]
    assert table[1] == ["gaussian noise", ".650", ".600", ".550", ".500", ".450"]
    assert [row[0] for row in table[1:]] == ["gaussian noise", "zoom blur"]


def test_maps_are_those_of_report_lesions(metrics: Metrics) -> None:
    table = TABLES["maps"]({"fast": metrics["fast"]})
    assert rows(table)[1:] == [
        ["layercam", "relu", ".500", ".250", ".750", ".125", "4", "0.10, 0.20, -0.30"],
        ["middle", "-", ".500", ".250", ".750", ".125", "-", "-, -, -"],
    ]
    assert table.splitlines()[-1] == "fast: 40 photos."


def test_partitions_are_those_of_the_split(metrics: Metrics) -> None:
    table = rows(TABLES["partitions"](metrics))
    assert ["ham10000", "8,349 (6,227)", "826 (622)", "840 (621)"] in table
    assert table[1][0] == "all" and [row[0] for row in table[2:9]] == list(CODES)
    of_sources = table[9:]
    table = table[:9]
    for column in range(1, 4):
        assert sum(int(row[column].split(" ")[0].replace(",", "")) for row in of_sources) == int(
            table[1][column].split(" ")[0].replace(",", "")
        )
    columns = [
        [int(cell.split(" ")[0].replace(",", "")) for cell in column]
        for column in list(zip(*table[1:], strict=True))[1:]
    ]
    assert all(sum(of_classes) == everything for everything, *of_classes in columns)


def test_each_source_has_a_line_and_their_mean_the_last(metrics: Metrics) -> None:
    table = rows(TABLES["sources"]({"fast": metrics["fast"]}))
    assert [row[1] for row in table[1:]] == ["ham10000", "elsewhere", "**mean over sources**"]
    assert table[1][6] == ".912 [.800, .950]" and table[2][6] == "-" and table[3][6] == ".912"


def test_margins_stand_under_the_map_that_ships(metrics: Metrics) -> None:
    gains = [".438: +.062 [-.125, +.250]"] * 2, [".625: -.125 [-.125, +.250]"] * 2
    assert rows(TABLES["margins"](metrics)) == [
        ["model", "map", "inside", "deletion"],
        *(
            row
            for model in metrics
            for row in (
                [model, "**LayerCAM** at `relu`, 40 photos", ".500", ".500"],
                [model, "than Grad-CAM", *gains[0]],
                [model, "than a blob in the middle", *gains[1]],
            )
        ),
    ]


def test_what_passes_as_dermatoscopic(metrics: Metrics) -> None:
    table = rows(TABLES["dermatoscopic"]({"fast": metrics["fast"]}))
    assert table[1:] == [["report lesions", "840", "98.1%", "0.1%"], ["noise", "3", "0.0%", "100.0%"]]


@pytest.mark.parametrize("name", ["corruptions", "maps", "margins", "dermatoscopic"])
def test_what_was_measured_of_one_network_only_and_of_none(name: str, metrics: Metrics) -> None:
    unmeasured = metrics["detailed"] | {name: []}
    alone = TABLES[name](metrics | {"detailed": unmeasured})
    assert alone == TABLES[name]({"fast": metrics["fast"]})
    assert TABLES[name]({"detailed": unmeasured}) == "Not measured."


CARD = "---\nlicense: cc-by-nc-4.0\ntags:\n- dermatoscopy\n---\n\n# Model card\n\nText with umlauts: Gödel.\n"


def test_model_index_holds_both_evaluations_of_each_network(metrics: Metrics) -> None:
    card = with_model_index(CARD, metrics)
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "cc-by-nc-4.0" and front["tags"] == ["dermatoscopy"]
    (index,) = front["model-index"]
    found = {
        (result["dataset"]["split"], metric["name"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    assert len(found) == 2 * 2 * len(HEADLINE)
    for name in metrics:
        expected = round(metrics[name]["macro_auc"], 3)
        assert (
            found["report", f"{name}: macro auc"] == found["cross-fitted", f"{name}: macro auc"] == expected
        )
    assert card.endswith("# Model card\n\nText with umlauts: Gödel.\n")


def test_model_index_is_written_over_not_added_to(metrics: Metrics) -> None:
    once = with_model_index(CARD, metrics)
    assert with_model_index(once, metrics) == once
    assert with_model_index(with_model_index(CARD, {"fast": metrics["fast"]}), metrics) == once
