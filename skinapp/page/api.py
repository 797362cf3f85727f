"""The named endpoints for programs. They take the photo as a file that only our own decoder opens."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from skinapp import NOTICE
from skinapp.decision import SENSITIVITIES
from skinapp.lesions import BY_CODE, CODES
from skinapp.page.many import RUNS, Run
from skinapp.page.uploads import TooMany, Upload, sort_out, takes_uploads
from skinapp.photo.preprocess import PhotoError
from skinapp.service.engine import Engine, UnknownModel

if TYPE_CHECKING:
    from skinapp.reading import Reading

BETWEEN = 16  # photos of `/classify_many`


def add(engine: Engine) -> None:
    """Add the endpoints to the page that is being built, without anything to see."""
    default = engine.names[0]

    def classify(photo: str | None, model: str) -> dict:
        """Seven class probabilities of a dermatoscopic photo. For research and teaching, not a medical device.

        Args:
            photo: a JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM file.
            model: the name of a network, by default the first on offer.

        Returns:
            {label, name, probabilities: {code: float}, set: {coverage, codes}, targets: {malignant and melanoma:
            {probability, operating_points}}, dermatoscopic: {score, threshold, passed, withheld}, checks: [{name, passed, finding,
            advice}], model: {name, sha256}, notice}
        """
        return _reading(engine, photo, model).as_json()

    def explain(photo: str | None, code: str | None = None, model: str = default) -> tuple[Image.Image, dict]:
        """Saliency overlay for a class. For research and teaching, not a medical device.

        Args:
            photo: a JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM file.
            code: the class to explain (akiec, bcc, bkl, df, mel, nv, vasc), by default the most probable one.
            model: the name of a network, by default the first on offer.

        Returns:
            The overlay as PNG, and {label, evidence, notice}; without evidence the overlay is the bare photo.
        """
        _refuse_unknown(code)
        from skinapp.network.saliency import overlay

        reading = _reading(engine, photo, model)
        saliency = reading.saliency(code or None)
        picture = overlay(reading.square, saliency)
        return picture, {"label": saliency.code, "evidence": saliency.evidence, "notice": NOTICE}

    def report(
        photo: str | None,
        code: str | None = None,
        label: str | None = None,
        sensitivity: float = SENSITIVITIES[1],
        model: str = default,
    ) -> tuple[str, str]:
        """The reading to take along, as one page and as data. For research and teaching, not a medical device.

        Args:
            photo: a JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM file; its name and metadata go into neither file.
            code: the class whose saliency map is shown (akiec, bcc, bkl, df, mel, nv, vasc), by default the most probable one.
            label: a case label in free text, one line; no patient data is asked for.
            sensitivity: of the operating point that malignant or premalignant is held against: 0.9, 0.95 or 0.98.
            model: the name of a network, by default the first on offer.

        Returns:
            A one-page PDF file, and a JSON file after skinapp/output/reading.schema.json.
        """
        _refuse_unknown(code)
        if sensitivity not in SENSITIVITIES:
            raise _refusal(
                f"There is no operating point of sensitivity {sensitivity}: choose one of "
                f"{', '.join(map(str, SENSITIVITIES))}."
            )
        from skinapp.output.report import document, pdf

        reading, now = _reading(engine, photo, model), datetime.now(UTC)
        page = pdf(reading, reading.saliency(code or None), sensitivity, label or "", now)
        data = json.dumps(document(reading, label or "", now), indent=2).encode()
        return _to_fetch("skinapp-report.pdf", page), _to_fetch("skinapp-reading.json", data)

    def similar(photo: str | None, model: str = default) -> dict:
        """The eight training photos that resemble a photo most to the network, by their ids in the ISIC archive.

        Args:
            photo: a JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM file.
            model: the name of a network, by default the first on offer.

        Returns:
            {cases: [{image_id, dx, dx_type, distance, link}], notice}, the nearest case first; no cases where the model
            brings no index. A distance of 1 is that of the nearest case for the middle one of the tune photos.
        """
        from skinapp.network.case_index import nearest

        return {"cases": [asdict(case) for case in nearest(_reading(engine, photo, model))], "notice": NOTICE}

    def classify_many(photos: list[Upload], model: str = default) -> Iterator[dict]:
        """Many photos at once. For research and teaching, not a medical device.

        Args:
            photos: JPEG, PNG, WebP, BMP, TIFF, HEIC or DICOM files, ZIP archives of them, and at most one CSV with their dx.
            model: the name of a network, by default the first on offer.

        Returns:
            {model: {name, sha256}, set_coverage, notice, rows: [{file, label, name, probabilities: {code: float}, malignant,
            set: [code], failed_checks: [name]} or {file, error}]}, with a CSV also {evaluation: figures or {error}}. Until
            then, {done, count} again and again.
        """
        try:
            run, classifier = Run(sort_out(photos), model), engine.classifier(model)
        except (TooMany, UnknownModel) as error:
            raise _refusal(str(error)) from None
        count = len(run.uploads.photos)
        if not count:
            raise _refusal("There is no photo: send JPEG or PNG files, or a ZIP of them.")
        for done in run.results(classifier):
            if done % BETWEEN == 0:
                yield {
                    "done": done,
                    "count": count,
                }  # between two of these, a client that has left is noticed
        yield run.as_json(classifier)

    with gr.Row(visible=False):
        photo = gr.File(label="photo", type="filepath")
        code = gr.Textbox(label="code", value=None)
        label = gr.Textbox(label="label", value=None)
        sensitivity = gr.Number(label="sensitivity", value=SENSITIVITIES[1])
        model = gr.Textbox(label="model", value=default)
        answer = gr.JSON(label="answer")
        picture = gr.Image(label="overlay", type="pil", format="png")
        photos = gr.File(label="photos", file_count="multiple")
        takes_uploads(photos)
        gr.Button().click(classify, [photo, model], answer, api_name="classify")
        gr.Button().click(explain, [photo, code, model], [picture, answer], api_name="explain")
        page, data = gr.File(label="page"), gr.File(label="data")
        gr.Button().click(report, [photo, code, label, sensitivity, model], [page, data], api_name="report")
        gr.Button().click(similar, [photo, model], answer, api_name="similar")
        gr.Button().click(
            classify_many,
            [photos, model],
            answer,
            api_name="classify_many",
            concurrency_id="many",
            concurrency_limit=RUNS,
        )


def _reading(engine: Engine, photo: str | None, model: str) -> "Reading":
    if not photo:
        raise _refusal("There is no photo: send a JPEG or PNG file.")
    try:
        return engine.read(photo, model)
    except (PhotoError, UnknownModel) as error:
        raise _refusal(str(error)) from None


def _to_fetch(name: str, content: bytes) -> str:
    """Write a file that an event returns. Its path, in the folder of the uploads, which `Ledger.sweep` empties: Gradio would
    copy a file from elsewhere to there, and the first one would outlive the copy."""
    return save_bytes_to_cache(content, name, get_upload_folder())


def _refuse_unknown(code: str | None) -> None:
    if code and code not in BY_CODE:
        raise _refusal(f"There is no class {code!r}: the codes are {', '.join(CODES)}.")


def _refusal(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
