"""The tab that says how good the networks are, from the figures that each brings with it; and the endpoints for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import gradio as gr

from skinapp.figures.measured import (
    Metrics,
    NotMeasured,
    headline,
    point_figures,
    read_metrics,
)
from skinapp.network.folders import model_folders
from skinapp.output import charts
from skinapp.page.performance_views import (
    calibration_html,
    classes_html,
    comparison_html,
    corruptions_html,
    curves_html,
    explorer_html,
    groups_html,
    mistakes_html,
    operating_html,
    overview_html,
)
from skinapp.page.result import refusal_html
from skinapp.service.engine import Engine

START = 95  # % sensitivity, where the slider stands at first
DRAWING = '<p class="waiting">One moment.</p>'  # what stands in a view until it is first opened


def add(engine: Engine) -> None:
    """Add the tab's content and `/performance` and `/operating_point` to the page that is being built."""
    folders = {name: folder for name, folder in model_folders().items() if name in engine.names}
    read = cache(lambda name: read_metrics(folders[name]))  # they do not change while the page is served

    @cache
    def view(show: Callable[[Metrics], str], name: str) -> str:
        try:
            return show(read(name))
        except NotMeasured as reason:
            return refusal_html(str(reason))

    def overview(name: str) -> str:
        others = [other for other in engine.names if other != name]
        return overview_html({other: _found(read, other) for other in (name, *others)})

    def explorer(name: str, percent: float) -> str:
        try:
            return explorer_html(read(name), percent)
        except NotMeasured as reason:
            return refusal_html(str(reason))

    model = gr.Dropdown(
        engine.choices,
        value=engine.names[0],
        label="Network",
        container=False,
        visible=len(engine.choices) > 1,
    )
    views: list[tuple[str, Callable[[Metrics], str]]] = [
        ("Classes", classes_html),
        ("Curves", curves_html),
        ("Calibration", calibration_html),
        ("Groups", groups_html),
        ("Damaged photos", corruptions_html),
        ("Mistakes", mistakes_html),
        ("Compared", comparison_html),
    ]
    with gr.Tabs(elem_id="figures", overflow_behavior="wrap"):
        with gr.Tab("Overview"):
            first = gr.HTML(overview(engine.names[0]), elem_classes="view")
        with gr.Tab("Operating points") as points, gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                percent = gr.Slider(
                    charts.OPERATING_RANGE[0], charts.OPERATING_RANGE[1] - 1, value=START, step=1, interactive=True,
                    label="Lesions to be found (sensitivity), %", elem_id="sensitivity",
                )  # fmt: skip
                drawing = gr.HTML(DRAWING, elem_classes="view")
            with gr.Column(scale=6, min_width=300):
                costs = gr.HTML(elem_id="costs", elem_classes="view")
        shown = []
        for title, show in views:
            with gr.Tab(title) as tab:
                place = gr.HTML(DRAWING, elem_classes="view")
            shown.append((tab, place, show))

    # What was chosen last is what is shown, however fast: events with an output in common are one, which never runs twice at
    # once, so that no late answer replaces a newer one.
    quiet: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "trigger_mode": "always_last",
    }
    for tab, place, show in shown:
        gr.on([tab.select, model.input], lambda name, show=show: view(show, name), model, place, **quiet)
    model.input(overview, model, first, **quiet)
    gr.on([points.select, model.input], lambda name: view(operating_html, name), model, drawing, **quiet)
    low, high = percent.minimum, percent.maximum
    # While 97 is typed there stands 9, or nothing: Gradio would answer that with an error.
    within = f"(name, percent) => [name, Math.min(Math.max(Number(percent) || {START}, {low}), {high})]"
    changed = [points.select, model.input, percent.change]
    gr.on(changed, explorer, [model, percent], costs, js=within, queue=False, **quiet)
    _add_endpoints(engine, read)


def _add_endpoints(engine: Engine, read: Callable[[str], Metrics]) -> None:
    default = engine.names[0]

    def checked(model: str) -> Metrics:
        if model not in engine.names:
            raise _error(f"There is no model {model!r}: the names on offer are {', '.join(engine.names)}.")
        return read(model)

    def performance(model: str) -> dict:
        """How good a network is on lesions that training never saw. For research and teaching, not a medical device.

        Args:
            model: the name of a network, by default the first on offer.

        Returns:
            {model: {name, sha256}, photos, lesions, figures: {accuracy, balanced_accuracy, macro_f1, macro_auc, ece and
            melanoma_auc: {value, low, high}}}, cross-fitted; low to high is the 95 % interval.
        """
        try:
            metrics = checked(model)
        except NotMeasured as reason:
            raise _error(str(reason)) from None
        crossed = metrics["cross_fitted"]
        return {
            "model": {"name": model, "sha256": metrics["model"]["sha256"]},
            "photos": crossed["n"],
            "lesions": crossed["lesions"],
            "figures": {
                name: {"value": figure.value, "low": figure.low, "high": figure.high}
                for name, figure in headline(metrics).items()
            },
        }

    def operating_point(target: str, sensitivity: float, model: str) -> dict:
        """What it costs to find a share of lesions. For research and teaching, not a medical device.

        Args:
            target: malignant (malignant or premalignant: mel, bcc, akiec) or melanoma.
            sensitivity: the share of the target's lesions to be found, above 0 and at most 1.
            model: the name of a network, by default the first on offer.

        Returns:
            {target, asked, threshold, photos, positive, and sensitivity, specificity and false_alarms_per_find:
            {value, low, high}}: measured on lesions that did not fit the threshold; asked is the next sensitivity, in
            steps of .01 from .5, that is no lower; low to high is the 95 % interval.
        """
        if sensitivity is None:
            raise _error("There is no sensitivity: send a number above 0 and at most 1.")
        try:
            return point_figures(checked(model), target, sensitivity).as_json()
        except NotMeasured as reason:
            raise _error(str(reason)) from None

    with gr.Row(visible=False):
        target = gr.Textbox(label="target", value="malignant")
        sensitivity = gr.Number(label="sensitivity", value=0.95)
        model = gr.Textbox(label="model", value=default)
        answer = gr.JSON(label="answer")
        gr.Button().click(performance, model, answer, api_name="performance")
        gr.Button().click(operating_point, [target, sensitivity, model], answer, api_name="operating_point")


def _found(read: Callable[[str], Metrics], name: str) -> Metrics | str:
    try:
        return read(name)
    except NotMeasured as reason:
        return str(reason)


def _error(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
