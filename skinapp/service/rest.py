"""Plain HTTP beside the page: one photo a request without Gradio's queue, and what watches over a service asks."""

from __future__ import annotations

import json

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from skinapp.photo.preprocess import MOST_BYTES, PhotoError
from skinapp.service.engine import Busy, Engine, UnknownModel
from skinapp.service.metrics import REGISTRY

WATCHED = ["GET", "HEAD"]  # monitors ask for the head alone


class _InMemory(MultiPartParser):
    spool_max_size = MOST_BYTES + 1  # no photo is written to the disk on this way


def router(engine: Engine) -> APIRouter:
    """POST /v1/classify, GET /health, /ready and /metrics."""
    routes = APIRouter()
    threads = anyio.CapacityLimiter(engine.settings.waiting + 8)  # the engine says who is one too many

    @routes.post("/v1/classify")
    async def classify(request: Request) -> Response:
        """Form fields photo (file) and model (text, by default the first) -> what `/classify` answers, or {"error": sentence}."""
        try:
            photo, model = await _form(request)
            if photo is None:
                return _error(422, "There is no photo: send a JPEG or PNG file as the form field photo.")
            with anyio.fail_after(engine.settings.request_seconds):
                answer = await anyio.to_thread.run_sync(
                    _classified,
                    engine,
                    photo,
                    model or engine.names[0],
                    limiter=threads,
                    abandon_on_cancel=True,
                )
            return Response(answer, media_type="application/json")
        except MultiPartException as error:
            if "Too many files" in error.message:
                return _error(400, "Send one photo per request, as the form field photo.")
            return _error(400, f"This form cannot be read ({error.message}): send multipart/form-data.")
        except Busy as error:
            return _error(503, str(error), error.seconds)
        except TimeoutError:
            return _error(503, "The service is busy: try again in 10 s.", 10)
        except (PhotoError, UnknownModel) as error:
            return _error(422, str(error))

    @routes.api_route("/v1/classify", methods=WATCHED)
    async def no_photo() -> Response:
        """Whoever asks by GET has not read the README."""
        return JSONResponse(
            {"error": "Send the photo by POST, as the form field photo."}, 405, {"Allow": "POST"}
        )

    @routes.api_route("/health", methods=WATCHED)
    async def health() -> Response:
        """The process is alive."""
        return JSONResponse({"alive": True})

    @routes.api_route("/ready", methods=WATCHED)
    async def ready() -> Response:
        """The models are loaded and gave their known answers; 503 until then."""
        status = 200 if engine.ready else 503
        return JSONResponse({"ready": engine.ready, "models": engine.names}, status)

    @routes.api_route("/metrics", methods=WATCHED)
    async def metrics() -> Response:
        """Counts, times and sizes for Prometheus."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _form(request: Request) -> tuple[bytes | None, str]:
    """The photo's bytes, None where there is none, and the model's name. Raises MultiPartException."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise MultiPartException("it is no multipart/form-data")
    form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    try:
        photo, model = form.get("photo"), form.get("model")
        data = await photo.read() if isinstance(photo, UploadFile) else None
        return data, model if isinstance(model, str) else ""
    finally:
        await form.close()


def _classified(engine: Engine, photo: bytes, model: str) -> bytes:
    return json.dumps(engine.read(photo, model).as_json()).encode()


def _error(status: int, sentence: str, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"error": sentence}, status, headers)
