"""The named endpoints for programs. They take the photo as a file that only our own decoder opens."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image

from skinapp import NOTICE
from skinapp.lesions import BY_CODE, CODES
from skinapp.page.engine import Engine, UnknownModel
from skinapp.preprocess import PhotoError

if TYPE_CHECKING:
    from skinapp.reading import Reading


def add(engine: Engine) -> None:
    """Add `/classify`, `/explain` and `/similar` to the page that is being built, without anything to see."""
    default = engine.names[0]

    def classify(photo: str | None, model: str) -> dict:
        """Seven class probabilities of a dermatoscopic photo. For research and teaching, not a medical device.

        Args:
            photo: a JPEG, PNG, WebP, BMP or TIFF file.
            model: the name of the network, fast or detailed.

        Returns:
            {label, name, probabilities: {code: float}, set: {coverage, codes}, targets: {malignant and melanoma:
            {probability, operating_points}}, dermatoscopic: {score, threshold, passed}, model: {name, sha256}, notice}
        """
        return _reading(engine, photo, model).as_json()

    def explain(photo: str | None, code: str | None = None, model: str = default) -> tuple[Image.Image, dict]:
        """Saliency overlay for a class. For research and teaching, not a medical device.

        Args:
            photo: a JPEG, PNG, WebP, BMP or TIFF file.
            code: the class to explain (akiec, bcc, bkl, df, mel, nv, vasc), by default the most probable one.
            model: the name of the network, fast or detailed.

        Returns:
            The overlay as PNG, and {label, evidence, notice}; without evidence the overlay is the bare photo.
        """
        if code and code not in BY_CODE:
            raise _refusal(f"There is no class {code!r}: the codes are {', '.join(CODES)}.")
        from skinapp.saliency import overlay

        reading = _reading(engine, photo, model)
        saliency = reading.saliency(code or None)
        picture = overlay(reading.square, saliency)
        return picture, {"label": saliency.code, "evidence": saliency.evidence, "notice": NOTICE}

    def similar(photo: str | None, model: str = default) -> dict:
        """The eight training photos that resemble a photo most to the network, by their ids in the ISIC archive.

        Args:
            photo: a JPEG, PNG, WebP, BMP or TIFF file.
            model: the name of the network, fast or detailed.

        Returns:
            {cases: [{image_id, dx, dx_type, distance, link}], notice}, the nearest case first; no cases where the model
            brings no index. A distance of 1 is that of the nearest case for the middle one of the tune photos.
        """
        from skinapp.similar import nearest

        return {"cases": [asdict(case) for case in nearest(_reading(engine, photo, model))], "notice": NOTICE}

    with gr.Row(visible=False):
        photo = gr.File(label="photo", type="filepath")
        code = gr.Textbox(label="code", value=None)
        model = gr.Textbox(label="model", value=default)
        answer = gr.JSON(label="answer")
        picture = gr.Image(label="overlay", type="pil", format="png")
        gr.Button().click(classify, [photo, model], answer, api_name="classify")
        gr.Button().click(explain, [photo, code, model], [picture, answer], api_name="explain")
        gr.Button().click(similar, [photo, model], answer, api_name="similar")


def _reading(engine: Engine, photo: str | None, model: str) -> "Reading":
    if not photo:
        raise _refusal("There is no photo: send a JPEG or PNG file.")
    try:
        return engine.read(photo, model)
    except (PhotoError, UnknownModel) as error:
        raise _refusal(str(error)) from None


def _refusal(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
