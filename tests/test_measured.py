"""What a page says of a saliency method is what was measured of it, on the most photos there are figures for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from skinapp.figures.measured import Trust, trust
from tests.conftest import tiny_configuration

MAPS = [
    {
        "method": method,
        "layer": layer,
        "part": part,
        "photos": photos,
        "inside": inside,
        "sanity_head": sanity,
    }
    for method, layer, part, photos, inside, sanity in (
        ("layercam", "deep", "tune", 28, 0.9, 0.9),
        ("layercam", "deep", "report", 28, 0.62, 0.08),
        ("layercam", "shallow", "report", 28, 0.3, 0.9),
        ("gradcam", "deep", "report", 28, 0.51, 0.01),
        ("gaussian", "", "report", 28, 0.56, None),
    )
]
MARGINS = [
    {
        "shown": "layercam",
        "layer": "deep",
        "method": method,
        "measure": measure,
        "photos": 200,
        "own": own,
        "other": other,
    }
    for method, measure, own, other in (
        ("gradcam", "inside", 0.64, 0.48),
        ("gradcam", "pointing", 0.88, 0.55),
        ("gaussian", "inside", 0.64, 0.6),
        ("gaussian", "pointing", 0.88, 0.98),
    )
]


def measured(folder: Path, **sections: object) -> Path:
    """A model folder that holds nothing but figures, of the weights that its configuration names."""
    replace(tiny_configuration("deep"), sha256={"weights.npz": "a"}).write(folder)
    (folder / "metrics.json").write_text(json.dumps({"model": {"sha256": "a"}, "curves": {}, **sections}))
    return folder


@pytest.mark.parametrize(
    ("method", "expected"),
    [("layercam", Trust(28, 0.62, 0.56, 0.08)), ("gradcam", Trust(28, 0.51, 0.56, 0.01)), ("scorecam", None)],
)
def test_report_lesions_at_the_model_s_layer(tmp_path: Path, method: str, expected: Trust | None) -> None:
    assert trust(measured(tmp_path, maps=MAPS), method, "deep") == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [("layercam", Trust(200, 0.64, 0.6, 0.08)), ("gradcam", Trust(200, 0.48, 0.6, 0.01)), ("scorecam", None)],
)
def test_the_larger_measurement_is_preferred(tmp_path: Path, method: str, expected: Trust | None) -> None:
    assert trust(measured(tmp_path, maps=MAPS, margins=MARGINS), method, "deep") == expected


def test_margins_of_another_layer_say_nothing_of_this_one(tmp_path: Path) -> None:
    other = [{**row, "layer": "shallow"} for row in MARGINS]
    assert trust(measured(tmp_path, maps=MAPS, margins=other), "layercam", "deep") == Trust(
        28, 0.62, 0.56, 0.08
    )


def test_nothing_measured_nothing_said(tmp_path: Path) -> None:
    assert trust(tmp_path, "layercam", "deep") is None
    assert trust(measured(tmp_path), "layercam", "deep") is None
