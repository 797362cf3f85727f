"""How much a request may send and how long it may take over it. Holds before and while a body is read, not after."""

import asyncio
import time

from skinapp.service.asgi import App, Message, Receive, Refusal, Scope, Send, busy, header
from skinapp.service.settings import Settings

UPLOAD = "/gradio_api/upload"
IN_FLIGHT = 1024**3  # bytes of all bodies that are being received or worked on
SLOWEST = 100_000  # bytes a second: whoever keeps this up may take as long as the body needs
# Seconds in which a client may go on sending what is thrown away, so that it reads the refusal.
PATIENCE = 2.0


class Limits:
    """ASGI layer. Bodies up to the settings' size, whether announced or in chunks, received within the settings' time."""

    def __init__(self, app: App, settings: Settings):
        self.app = app
        self.settings = settings
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.settings.upload_bytes if scope["path"] == UPLOAD else self.settings.body_bytes
        announced = header(scope, b"content-length")
        if announced.isdecimal() and int(announced) > most:
            await _refuse_kindly(_too_large(most), scope, receive, send)
            return
        await self._receive_within(most, scope, receive, send)

    async def _receive_within(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
        taken, complete, started = 0, False, False
        refusal: Refusal | None = None
        start = time.monotonic()

        async def limited() -> Message:
            nonlocal taken, complete, refusal
            if refusal:
                raise refusal
            if complete:
                return await receive()  # whatever waits for the client to leave may wait as long as it likes
            try:
                left = start + self.settings.request_seconds + taken / SLOWEST - time.monotonic()
                message = await asyncio.wait_for(receive(), max(0.0, left))
            except TimeoutError:
                refusal = Refusal(408, "The body did not arrive in time: send a smaller file or try again.")
                raise refusal from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            taken, self._in_flight = taken + size, self._in_flight + size
            if taken > most:
                refusal = _too_large(most)
            elif self._in_flight > IN_FLIGHT:
                refusal = busy()
            if refusal:
                raise refusal
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal started
            if refusal and not started:
                return  # what the app makes of the broken body; the refusal is the answer
            started = True
            await send(message)

        try:
            await self.app(scope, limited, unless_refused)
        except Exception:
            if refusal is None or started:
                raise
        finally:
            self._in_flight -= taken
        if refusal and not started:
            await _refuse_kindly(refusal, scope, receive, send)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"This is more than {most // 2**20} MB: send a smaller photo, or fewer at once.")


async def _refuse_kindly(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and let the client finish sending for a moment: one that is cut off never reads why."""

    async def drain_before_the_end(message: Message) -> None:
        if message["type"] == "http.response.body" and not header(scope, b"expect"):
            await send({**message, "more_body": True})
            try:
                async with asyncio.timeout(PATIENCE):
                    while (await receive()).get("more_body", False):
                        pass
            except TimeoutError:
                pass
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    refusal.headers["connection"] = "close"
    await refusal.send(drain_before_the_end)
