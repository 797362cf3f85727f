"""Security headers: what a browser lets this page do, who may show it, and that nothing of a photo is kept."""

import re
import secrets

from skinapp.service.asgi import App, Message, Receive, Scope, Send

_STATIC = re.compile(r"/(?:assets|static|svelte)/.|/(?:theme\.css|favicon\.ico)$")  # the same for everybody
_SCRIPT = re.compile(rb"<script(?=[\s>])")


def policy(nonce: str, on_space: bool) -> str:
    """The content security policy. Only scripts of this server and those that carry the nonce run; Gradio's own code needs
    `unsafe-eval` for events in the browser and `unsafe-inline` for styles."""
    frames = "https://huggingface.co https://*.huggingface.co https://*.hf.space" if on_space else "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {frames}",
        )
    )


class Headers:
    """ASGI layer. Adds the headers to every answer, and the policy's nonce to the scripts of a page."""

    def __init__(self, app: App, on_space: bool):
        self.app = app
        self.on_space = on_space

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        if scope["path"] == "/":  # its scripts get the nonce below, which compressed ones could not
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        start: Message | None = None
        page = bytearray()

        async def with_headers(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                message["headers"] = [*_kept(message["headers"]), *self._added(nonce)]
                if not _STATIC.match(
                    scope["path"]
                ):  # else a photo may stay in the cache of a browser that others use
                    message["headers"] = _uncached(message["headers"])
                if scope["path"] == "/" and _is_page(message):
                    start = message  # its length changes
                    return
            elif message["type"] == "http.response.body" and start:
                page.extend(message.get("body", b""))
                if message.get("more_body", False):
                    return
                body = _SCRIPT.sub(f'<script nonce="{nonce}"'.encode(), bytes(page))
                lengthless = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
                start["headers"] = [*lengthless, (b"content-length", str(len(body)).encode())]
                await send(start)
                message = {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _added(self, nonce: str) -> list[tuple[bytes, bytes]]:
        headers = {
            "content-security-policy": policy(nonce, self.on_space),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
            "cross-origin-opener-policy": "same-origin",
        }
        if not self.on_space:
            headers |= {"x-frame-options": "DENY", "cross-origin-resource-policy": "same-origin"}
        return [(name.encode(), value.encode()) for name, value in headers.items()]


def _kept(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what would say which software answers, and without Gradio's leave for every other site to read the answer."""
    return [
        pair
        for pair in headers
        if pair[0].lower() not in {b"server", b"x-powered-by"}
        and not pair[0].lower().startswith(b"access-control-")
    ]


def _uncached(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [
        *(pair for pair in headers if pair[0].lower() != b"cache-control"),
        (b"cache-control", b"no-store"),
    ]


def _is_page(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return bool(kinds) and kinds[0].startswith(b"text/html")
