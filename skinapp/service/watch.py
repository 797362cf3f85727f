"""The outermost layer: counts and logs every request by route, status, time and size."""

import logging
import re
import time

from skinapp.service.asgi import App, Message, Receive, Scope, Send
from skinapp.service.metrics import BODY_BYTES, REQUEST_SECONDS, REQUESTS

_LOGGER = logging.getLogger("skinapp.requests")
_KNOWN = re.compile(
    r"/(?:v1/classify|health|ready|metrics|config|theme\.css|(?:assets|static|svelte)(?=/)"
    r"|gradio_api/(?:upload_progress|upload|queue/join|queue/data|queue/status|call|run|cancel|reset|heartbeat|file"
    r"|startup-events|info)(?![a-z])|$)"
)
_QUIET = {"/assets", "/static", "/svelte", "/theme.css", "/health", "/ready", "/metrics"}


class Watch:
    """ASGI layer. A request's route is one of a fixed few words: the rest of a path may name a file."""

    def __init__(self, app: App):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, taken, given, status = time.perf_counter(), 0, 0, 500

        async def count_in() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message

        async def count_out(message: Message) -> None:
            nonlocal given, status
            if message["type"] == "http.response.start":
                status = message["status"]
            given += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, count_in, count_out)
        finally:
            route, seconds = route_of(scope["path"]), time.perf_counter() - start
            REQUESTS.labels(route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(seconds)
            if scope["method"] == "POST":
                BODY_BYTES.labels(route).observe(taken)
            level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
            method = scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "OPTIONS"} else "OTHER"
            _LOGGER.log(
                level,
                "%s %s %d, %.0f ms, %d bytes in, %d bytes out",
                method,
                route,
                status,
                1000 * seconds,
                taken,
                given,
            )


def route_of(path: str) -> str:
    """The part of a path that names no file, session or event: one of a fixed few."""
    known = _KNOWN.match(path)
    return known.group() if known else "other"
