"""What the tab for one lesion answers where something is in its way, without a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from markupsafe import escape

from skinapp.lesions import BY_CODE, CODES
from skinapp.page import lesion
from skinapp.page.frame import moved
from skinapp.page.lesion import FORGOTTEN
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import Frame
from skinapp.service.engine import Engine

PHOTO, SALIENCY, CODE = 2, 12, 13  # places among the parts of the page
Handlers = dict[str, Callable[..., list[Any]]]
STAYS = gr.skip()
AT_95 = 0.95


@pytest.fixture
def handlers(engine: Engine) -> Handlers:
    """The tab's event handlers by name."""
    with gr.Blocks() as page:
        lesion.add(engine, page)
    return {function.name: function.fn for function in page.fns.values() if function.fn}


def mapped(page: list[Any]) -> list[str]:
    """Class and method of the map."""
    return page[CODE : CODE + 2]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    draw_lesion("mel").save(path)
    return path


def test_a_busy_service_leaves_the_result_and_says_so(
    engine: Engine, handlers: Handlers, photo: Path
) -> None:
    model = engine.names[0]
    before = handlers["new_photo"](str(photo), model, AT_95)
    engine._inside = engine.settings.waiting
    after = handlers["take_whole"](before[0], model, AT_95, *mapped(before))
    (emptied, told) = [part for part in after if part != STAYS]
    assert emptied is None and "The service is busy: try again in" in told
    assert before[after.index(told)] in told, "the sentence before stays below the reason"
    engine._inside = 0
    assert handlers["take_whole"](before[0], model, AT_95, *mapped(before))[1:] == before[1:]


def test_the_field_for_a_photo_is_never_skipped(handlers: Handlers, engine: Engine, photo: Path) -> None:
    """Gradio builds a component that is skipped anew, for that session, and with its own decoder."""
    model = engine.names[0]
    whole = handlers["new_photo"](str(photo), model, AT_95)
    broken = handlers["new_photo"](__file__, model, AT_95)
    turned = handlers["turned"](whole[0], model, AT_95, *mapped(whole))
    insisted = handlers["show_anyway"](whole[0], AT_95)
    assert [page[PHOTO] for page in (whole, broken, turned, insisted)] == [None] * 4


def test_a_chosen_class_and_method_stay_when_the_photo_is_turned(
    handlers: Handlers, engine: Engine, photo: Path
) -> None:
    model = engine.names[0]
    before = handlers["new_photo"](str(photo), model, AT_95)
    other = next(code for code in CODES if code != before[0].reading.top.code)
    after = handlers["turned"](before[0], model, AT_95, other, "scorecam")
    assert mapped(after) == [other, "scorecam"] and after[0].frame.turns
    shown = escape(BY_CODE[other].name)
    assert f"Score-CAM for <strong>{shown}" in after[SALIENCY] or "No positive" in after[SALIENCY]
    default = handlers["turned"](before[0], model, AT_95, before[0].reading.top.code, "gradcam")
    assert mapped(default)[0] == default[0].reading.top.code


def test_a_photo_that_was_deleted_can_still_be_shown_but_not_be_read_again(
    engine: Engine, handlers: Handlers, photo: Path
) -> None:
    model = engine.names[0]
    before = handlers["new_photo"](str(photo), model, AT_95)
    photo.unlink()
    assert handlers["show_anyway"](before[0], AT_95)[0].reading is before[0].reading
    assert any(
        FORGOTTEN in str(part) for part in handlers["take_whole"](before[0], model, AT_95, *mapped(before))
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"x": 0.5, "y": 0.5, "side": 0},
        {"x": 0.5, "y": 0.5, "side": 1e-320},
        {"x": 0.5, "y": 0.5, "side": 1.5},
        {"x": float("nan"), "y": 0.5, "side": 0.5},
        {"x": "left", "y": 0.5, "side": 0.5},
        {"x": 0.5, "y": None, "side": 0.5},
    ],
)
def test_a_frame_that_no_page_sends_changes_nothing(told: dict[str, Any]) -> None:
    frame = Frame(turns=1, x=0.4, y=0.6, side=0.7)
    assert moved(frame, told) == frame
    assert moved(frame, {"x": 0.1, "y": 0.2, "side": 0.3}) == Frame(1, 0.1, 0.2, 0.3)
