"""What was measured of a model, as the page tells it: read from metrics.json beside the weights, written by `train/report.py`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What an operating point did on lesions that did not fit it. flagged_in_vain: benign lesions flagged for each that is
    found, with this data set's mix."""

    sensitivity: float
    specificity: float
    flagged_in_vain: float


@dataclass(frozen=True)
class Trust:
    """How a saliency method did on `photos` report lesions. inside: share of the map's sum inside the outline; centred: the
    same of a mere blob in the middle; sanity: rank correlation with the map of a network whose head was drawn anew."""

    photos: int
    inside: float
    centred: float
    sanity: float


def metrics(folder: Path) -> dict[str, Any]:
    """All figures of a model folder; empty where it brings none."""
    return _metrics(folder.resolve())


def cost(folder: Path, target: str, sensitivity: float) -> Cost | None:
    """The cross-fitted figures of an operating point, None where they were not measured.

    target: a key of `decision.TARGETS`; sensitivity: as asked for, one of `decision.SENSITIVITIES`.
    """
    for row in metrics(folder).get("operating_points", {}).get("cross_fitted", []):
        if row["target"] == target and row["asked"] == sensitivity:
            return Cost(row["sensitivity"], row["specificity"], row["false_alarms_per_find"])
    return None


def trust(folder: Path, method: str, layer: str) -> Trust | None:
    """The report lesions' figures of a saliency method, None where it was not measured. layer: the model's map layer."""
    rows = [row for row in metrics(folder).get("maps", []) if row["part"] == "report"]
    centred = next((row for row in rows if row["method"] == "gaussian"), None)
    for row in rows:
        if row["method"] == method and row["layer"] in (layer, "", "-") and centred:
            return Trust(row["photos"], row["inside"], centred["inside"], row["sanity_head"])
    return None


@cache
def _metrics(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
