"""The tab for one lesion: a photo in; checks, sentence, bars and saliency map out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from skinapp.decision import CAUTION, SENSITIVITIES
from skinapp.lesions import CLASSES
from skinapp.network.saliency_methods import METHODS
from skinapp.page import take_along
from skinapp.page.examples import credit_html, examples_view
from skinapp.page.fence.memory import is_current
from skinapp.page.frame import frame_value, frame_view, moved, turned_frame
from skinapp.page.result import (
    WAITING,
    bars_html,
    checks_html,
    headline_html,
    mix_html,
    refusal_html,
    withheld_html,
)
from skinapp.page.saliency import saliency_html
from skinapp.page.similar import similar_html
from skinapp.page.templating import render, script
from skinapp.photo.cases import Case, first_of_each
from skinapp.photo.preprocess import Frame, PhotoError
from skinapp.service.engine import Busy, Engine, UnknownModel

if TYPE_CHECKING:
    from skinapp.reading import Reading

CHOICES = [(lesion.name, lesion.code) for lesion in CLASSES]
POINTS = [(f"{sensitivity:.0%}".replace("%", " %"), sensitivity) for sensitivity in SENSITIVITIES]
# Photo and map are two pictures in the browser, so this needs no server, let alone the network.
SET_OPACITY = "(percent) => document.documentElement.style.setProperty('--heat-opacity', percent / 100)"
READING = '<p class="waiting" role="status">Reading the photo: about a second.</p>'
LOADING = (
    '<p class="waiting" role="status">The network is loading, which takes about twenty seconds after the start. Your photo '
    "is read then.</p>"
)
FORGOTTEN = "This photo has expired. Please upload it again."


@dataclass(frozen=True)
class Shown:
    """What one session looks at. photo: path of the upload, which lives ten minutes, or of an example; case: that
    example, None for a photo of one's own; insisted: the user has asked to see the result of what is no dermatoscopic photo."""

    photo: str | bytes
    frame: Frame
    reading: Reading
    case: Case | None = None
    insisted: bool = False

    @property
    def withheld(self) -> bool:
        """Whether the result waits until the user asks for it."""
        return self.reading.withheld and not self.insisted

    def headline(self, sensitivity: float) -> str:
        """What the page says first, as HTML. sensitivity: of the chosen operating point."""
        if self.withheld:
            return withheld_html()
        return headline_html(self.reading, sensitivity)


def add(engine: Engine, page: gr.Blocks) -> None:
    """Add the tab's content to the page that is being built."""
    state = gr.State(None)  # memory.py sees to it that it is forgotten
    with gr.Row(equal_height=False, elem_id="lesion-tab"):
        with gr.Column(scale=4, min_width=280, elem_id="photo-column"):
            with gr.Column(elem_id="intake") as intake:
                with gr.Column(elem_id="photo"):
                    gr.HTML(render("dropzone"), apply_default_css=False)
                    photo = _photo_input()
                sample = examples_view()
            view = frame_view()
            with gr.Row(visible=False, elem_id="frame-buttons") as frame_buttons:
                left = gr.Button("↺ Left", size="sm", min_width=60)
                right = gr.Button("↻ Right", size="sm", min_width=60)
                whole = gr.Button("Reset crop", size="sm", min_width=60)
                again = gr.Button(
                    "New photo", size="sm", variant="primary", min_width=80, elem_id="new-photo"
                )
            credit = gr.HTML(elem_id="credit")
            checks = gr.HTML(elem_id="checks")
            model = gr.Dropdown(
                engine.choices, value=engine.names[0], label="Network", visible=len(engine.choices) > 1
            )
            mix = gr.HTML(elem_id="mix")
            gr.HTML(
                '<p class="mix">One lesion, in the middle, sharp. The square is what the network sees. Turning the photo does not '
                "change the numbers: they average eight turned and mirrored views. The photo goes only to this server and is "
                "deleted there within ten minutes of its last use.</p>",
                js_on_load=script("intake"),  # where it is built once: it listens to the whole page
            )
        with gr.Column(scale=5, min_width=320, elem_id="result-column"):
            sentence = gr.HTML(WAITING, elem_id="sentence", js_on_load=script("result"))
            insist = gr.Button("Show it anyway", size="sm", visible=False)
            with gr.Column(visible=False, elem_id="numbers") as numbers:
                point = gr.Radio(
                    POINTS,
                    value=CAUTION,
                    label="How cautious? Find this share of malignant lesions",
                    elem_id="point",
                )
                bars = gr.HTML(elem_id="bars")
        with gr.Column(scale=6, min_width=320, visible=False, elem_id="map-column") as map_column, gr.Tabs():
            with gr.Tab("Map"):
                saliency = gr.HTML(elem_id="saliency", js_on_load=script("viewer"), apply_default_css=False)
                with gr.Row():
                    code = gr.Dropdown(CHOICES, label="Class to explain", interactive=True, min_width=150)
                    method = gr.Dropdown(
                        [(name, key) for key, name in METHODS.items()],
                        label="Method",
                        interactive=True,
                        min_width=130,
                    )
                with gr.Row():
                    opacity = gr.Slider(0, 100, value=50, step=1, label="Opacity, %", min_width=190)
            with gr.Tab("Similar cases"):
                cases = gr.HTML(elem_id="cases")
            with gr.Tab("Export"):
                label, taken = take_along.add([state, code, method, point, opacity], seen)

    intake_parts = [intake, photo, view, frame_buttons, credit, checks]
    result_parts = [sentence, insist, numbers, bars]
    map_parts = [map_column, saliency, code, method, mix, cases, taken, label]
    everything = [state, *intake_parts, *result_parts, *map_parts]

    def nothing(why: str) -> list[Any]:
        """The page before a photo, or with the reason why there is none."""
        hidden = gr.update(visible=False)
        return [
            None,
            *[gr.update(visible=True), None, gr.update(value=None, visible=False), hidden, "", ""],
            *[why, hidden, hidden, ""],
            *[hidden, "", None, None, "", "", "", ""],  # the next photo's label is not this one's
        ]

    def everything_of(
        shown: Shown,
        value: dict[str, Any] | None,
        sensitivity: float,
        chosen_code: str | None = None,
        chosen_method: str | None = None,
    ) -> list[Any]:
        """The whole page anew for what is looked at. value: the frame view's, None where it stays; chosen: what the map is
        of, by default of the most probable class by the model's own method."""
        reading = shown.reading
        there, gone = gr.update(visible=True), gr.update(visible=False)
        top = chosen_code or reading.top.code
        default = chosen_method or reading.classifier.configuration.map_method
        head = [shown, gone, None, gr.update(value=value, visible=True) if value else gr.skip(), there]
        if shown.withheld:
            result, maps = [there, gone, ""], [gone, "", top, default, "", ""]
        else:
            result = [gone, there, bars_html(reading, sensitivity)]
            maps = [there, saliency_html(reading, [top], default), top, default, mix_html(reading)]
            maps.append(similar_html(reading))
        said = shown.headline(sensitivity)
        return [*head, credit_html(shown.case), checks_html(reading), said, *result, *maps, "", gr.skip()]

    def unchanged(shown: Shown, why: str, sensitivity: float) -> list[Any]:
        """The page as it is, with the reason why it did not change before what it says."""
        # The field is not skipped: Gradio would build it anew for this session, with a decoder of its own.
        told: dict[Any, Any] = {sentence: refusal_html(why) + shown.headline(sensitivity), photo: None}
        return [told.get(part, gr.skip()) for part in everything]

    def read(photo: str | bytes, frame: Frame, model: str) -> tuple[Reading, dict[str, Any]]:
        return engine.read_and_show(photo, model, frame, lambda whole: frame_value(whole, frame))

    def look_at(photo: str | bytes, model: str, sensitivity: float, case: Case | None = None) -> list[Any]:
        try:
            reading, value = read(photo, Frame(), model)
        except (PhotoError, UnknownModel) as error:
            return nothing(refusal_html(str(error)))
        return everything_of(Shown(photo, Frame(), reading, case), value, sensitivity)

    def waiting() -> str:
        return READING if engine.ready else LOADING

    def new_photo(path: str | None, model: str, sensitivity: float) -> list[Any]:
        return look_at(path, model, sensitivity) if path else nothing(WAITING)

    def new_example(model: str, sensitivity: float, event: gr.EventData) -> list[Any]:
        number = getattr(event, "number", None)
        if not isinstance(number, int) or not 0 <= number < len(first_of_each()):
            return nothing(WAITING)
        case = first_of_each()[number]
        return look_at(str(case.path), model, sensitivity, case)

    def look_again(
        shown: Shown | None, frame: Frame | None, model: str, sensitivity: float, code: str, method: str
    ) -> list[Any]:
        if shown is None:
            return nothing(refusal_html(FORGOTTEN))
        frame = frame or shown.frame
        try:
            reading, value = read(shown.photo, frame, model)
        except (Busy, UnknownModel) as error:
            return unchanged(shown, f"{error} Until then, the earlier result stays.", sensitivity)
        except PhotoError:  # it was read before, so it has been deleted
            return nothing(refusal_html(FORGOTTEN))
        # A class that the user has chosen stays; the most probable one may be another now.
        chosen = code if code != shown.reading.top.code else None
        return everything_of(replace(shown, frame=frame, reading=reading), value, sensitivity, chosen, method)

    def frame_moved(
        shown: Shown | None, model: str, sensitivity: float, code: str, method: str, event: gr.EventData
    ) -> list[Any]:
        told = {name: getattr(event, name, None) for name in ("x", "y", "side")}
        return look_again(
            shown, moved(shown.frame, told) if shown else None, model, sensitivity, code, method
        )

    def turn(quarters: int) -> Any:
        def turned(shown: Shown | None, *looking: Any) -> list[Any]:
            return look_again(shown, turned_frame(shown.frame, quarters) if shown else None, *looking)

        return turned

    def take_whole(shown: Shown | None, *looking: Any) -> list[Any]:
        return look_again(shown, Frame(shown.frame.turns) if shown else None, *looking)

    def other_model(shown: Shown | None, *looking: Any) -> list[Any]:
        return look_again(shown, None, *looking) if shown else nothing(WAITING)

    def show_anyway(shown: Shown | None, sensitivity: float) -> list[Any]:
        if shown is None:
            return nothing(refusal_html(FORGOTTEN))
        return everything_of(replace(shown, insisted=True), None, sensitivity)

    def unless_replaced(html: str, shown: Shown | None, request: gr.Request) -> Any:
        """A slow map of one photo must not arrive beside the next one's result."""
        return html if is_current(page, state, shown, request) else gr.skip()

    def other_point(shown: Shown | None, sensitivity: float, request: gr.Request) -> list[Any]:
        if shown is None:
            return [refusal_html(FORGOTTEN), gr.skip()]
        said = [shown.headline(sensitivity), bars_html(shown.reading, sensitivity)]
        return [unless_replaced(html, shown, request) for html in said]

    def other_map(shown: Shown | None, code: str, method: str, request: gr.Request) -> Any:
        html = saliency_html(shown.reading, [code], method) if shown else refusal_html(FORGOTTEN)
        return unless_replaced(html, shown, request)

    def asked_map(
        shown: Shown | None, code: str, method: str, request: gr.Request, event: gr.EventData
    ) -> list[Any]:
        """From the viewer: the three most probable classes, one again, or the class of a number key."""
        if shown is None:
            return [refusal_html(FORGOTTEN), gr.skip()]
        what, number = getattr(event, "what", None), getattr(event, "number", None)
        shares = shown.reading.prediction.by_code
        ordered = sorted(shares, key=lambda one: -shares[one])
        if what == "class" and isinstance(number, int) and 0 <= number < len(ordered):
            code = ordered[number]
        codes = ordered[:3] if what == "three" else [code]
        return [unless_replaced(saliency_html(shown.reading, codes, method), shown, request), code]

    # What is asked for while an answer is under way comes after it, and is not dropped: two quarter turns are two.
    quiet: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "minimal",
        "trigger_mode": "always_last",
    }
    looking = [model, point]
    photo.upload(waiting, None, sentence, queue=False, **quiet | {"show_progress": "hidden"}).then(
        new_photo, [photo, *looking], everything, **quiet
    )
    sample.chosen(new_example, looking, everything, **quiet)
    again_looking = [state, *looking, code, method]
    view.framed(frame_moved, again_looking, everything, **quiet)
    left.click(turn(-1), again_looking, everything, **quiet)
    right.click(turn(1), again_looking, everything, **quiet)
    whole.click(take_whole, again_looking, everything, **quiet)
    again.click(lambda: nothing(WAITING), None, everything, **quiet)
    model.input(other_model, again_looking, everything, **quiet)
    insist.click(show_anyway, [state, point], everything, **quiet)
    silent = quiet | {"show_progress": "hidden"}
    point.input(other_point, [state, point], [sentence, bars], **silent)
    gr.on([code.input, method.input], other_map, [state, code, method], saliency, **quiet)
    saliency.asked(asked_map, [state, code, method], [saliency, code], **quiet)
    opacity.input(None, opacity, None, js=SET_OPACITY)


def seen(
    shown: Shown | None, code: str, method: str, sensitivity: float, opacity: float
) -> tuple[Reading, str, str, float, float] | None:
    """What is on the page, to be taken along; None where there is no result, or where it is withheld."""
    if shown is None or shown.withheld:
        return None
    return shown.reading, code, method, sensitivity, opacity


def _photo_input() -> gr.File:
    """The field that every photo goes through, whatever its format and its way here; `static/intake.js` fills it."""
    photo = gr.File(label="Dermatoscopic photo", type="filepath", elem_id="photo-file")

    def path_only(payload: Any) -> str | None:
        return payload.path if payload else None

    # Gradio would make an empty copy of each file.
    setattr(photo, "preprocess", path_only)  # noqa: B010  # an assignment would be a type error
    return photo
