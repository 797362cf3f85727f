"""A model's figures, as `python -m train.report` left them in its metrics.json. No TensorFlow is needed to read them."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from skinapp.decision import TARGETS
from skinapp.network.configuration import Configuration, ModelError

Metrics = dict[str, Any]  # metrics.json of one model
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece", "melanoma_auc")


class NotMeasured(RuntimeError):
    """A figure that there is not; its text says why and what to do."""


@dataclass(frozen=True)
class Figure:
    """A measured figure and its 95 % interval; None where no photo defines it."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PointFigures:
    """What one sensitivity costs, cross-fitted. `asked`: the sensitivity that the thresholds were fitted to reach on other
    lesions; `threshold`: of the shipped calibration, on the probability of the target.

    false_alarms_per_find: others flagged for each lesion rightly flagged, where `positive` of `photos` are of the target.
    """

    target: str
    asked: float
    threshold: float
    photos: int
    positive: int
    sensitivity: Figure
    specificity: Figure
    false_alarms_per_find: Figure

    def as_json(self) -> dict[str, Any]:
        """Nothing but strings, numbers and dicts of them."""
        return asdict(self)


def read_metrics(folder: Path) -> Metrics:
    """The figures of the model in a folder. Raises NotMeasured where there are none, or those of other weights."""
    name, command = folder.resolve().name, f"run python -m train.report --model {folder}"
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        sha256 = Configuration.read(folder).sha256["weights.npz"]
        measured = metrics["model"]["sha256"]
    except OSError:
        raise NotMeasured(f"The model {name!r} brings no figures (metrics.json): {command}.") from None
    except (ModelError, ValueError, KeyError, TypeError):
        raise NotMeasured(f"The figures of the model {name!r} cannot be read: {command}.") from None
    if measured != sha256:
        raise NotMeasured(f"The figures of the model {name!r} are those of other weights: {command}.")
    if "curves" not in metrics:
        raise NotMeasured(f"The figures of the model {name!r} are an earlier version's: {command}.")
    return metrics


def headline(metrics: Metrics) -> dict[str, Figure]:
    """The figures named in HEADLINE, cross-fitted: all validation lesions, each half calibrated on the other."""
    crossed, melanoma = metrics["cross_fitted"], metrics["curves"]["targets"]["melanoma"]
    figures = {name: _figure(crossed[name], crossed["confidence_intervals"][name]) for name in HEADLINE[:-1]}
    return figures | {"melanoma_auc": _figure(melanoma["auc"], melanoma["auc_interval"])}


def stops(metrics: Metrics, target: str) -> list[float]:
    """The sensitivities, rising, whose cost was measured; none where the lesions are too few."""
    return metrics["curves"]["operating"][target]["asked"]


def point_figures(metrics: Metrics, target: str, sensitivity: float) -> PointFigures:
    """What it costs to find that share of a target's lesions: the figures of the next stop that is no lower.

    target: a key of TARGETS; sensitivity: 0 to 1. Raises NotMeasured.
    """
    if target not in TARGETS:
        raise NotMeasured(f"There is no target {target!r}: the targets are {', '.join(TARGETS)}.")
    if not 0 < sensitivity <= 1:  # not a number falls through here, too
        raise NotMeasured(f"A sensitivity lies above 0 and is at most 1, {sensitivity} does not.")
    curve, asked = metrics["curves"]["operating"][target], stops(metrics, target)
    index = next((i for i, stop in enumerate(asked) if stop >= sensitivity - 1e-9), None)
    if index is None:
        raise NotMeasured(_too_few(target, sensitivity, curve["positive"], asked))

    def at(name: str) -> Figure:
        return Figure(curve[name][index], curve[f"{name}_low"][index], curve[f"{name}_high"][index])

    return PointFigures(
        target=target,
        asked=asked[index],
        threshold=curve["threshold"][index],
        photos=curve["photos"],
        positive=curve["positive"],
        sensitivity=at("sensitivity"),
        specificity=at("specificity"),
        false_alarms_per_find=at("false_alarms_per_find"),
    )


@dataclass(frozen=True)
class Trust:
    """How a saliency method did on `photos` report lesions. inside: share of the map's sum inside the outline; centred: the
    same of a mere blob in the middle; sanity: rank correlation with the map of a network whose head was drawn anew."""

    photos: int
    inside: float
    centred: float
    sanity: float


def cost(folder: Path, target: str, sensitivity: float) -> PointFigures | None:
    """What the operating point of that sensitivity costs; None where it was not measured. Arguments as for `point_figures`."""
    try:
        return point_figures(_known(folder), target, sensitivity)
    except NotMeasured:
        return None


def trust(folder: Path, method: str, layer: str) -> Trust | None:
    """What was measured of a saliency method; None where nothing was. layer: the model's map layer."""
    try:
        known = _known(folder)
    except NotMeasured:
        return None
    maps = {
        row["method"]: row
        for row in known.get("maps", [])
        if row["part"] == "report" and row["layer"] in (layer, "")
    }
    if not {method, "gaussian"} <= maps.keys():
        return None
    photos = maps[method]["photos"]
    inside = {name: row["inside"] for name, row in maps.items()}
    for row in known.get("margins", []):  # the same on many more photos
        if row["measure"] == "inside" and row["layer"] == layer:
            photos = row["photos"]
            inside |= {row["shown"]: row["own"], row["method"]: row["other"]}
    return Trust(photos, inside[method], inside["gaussian"], maps[method]["sanity_head"])


@cache
def _known(folder: Path) -> Metrics:
    """As `read_metrics`, once a process: asked at every photo."""
    return read_metrics(folder)


def _too_few(target: str, sensitivity: float, positive: int, asked: list[float]) -> str:
    if not asked:
        return f"There were too few lesions of the target {target!r} to fit any threshold for it."
    return (
        f"A sensitivity of {sensitivity:.1%} cannot be promised for the target {target!r}: the {positive} photos with it, "
        f"half of them for fitting, are too few. The highest is {asked[-1]:.0%}."
    )


def _figure(value: float | None, interval: list[float] | None) -> Figure:
    low, high = interval or (None, None)
    return Figure(value, low, high)
