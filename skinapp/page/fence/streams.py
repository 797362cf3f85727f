"""Keeps Gradio's page from missing a result.

The page hears of its events on one stream, which the server ends with a message when nothing is left to tell. Where the answer
to the next event reaches the page before that message, the page waits on the old stream, and for ever: a click right after
a result did nothing. So that answer is held back until the end of the stream is sure to have been heard.
"""

import asyncio
import time

from skinapp.service.asgi import Message, Send

HEARD_WITHIN = 0.5  # seconds from the end of a stream until its page has noticed


class Streams:
    """When each session's stream ended, for as long as that matters."""

    def __init__(self) -> None:
        self._ended: dict[str, float] = {}

    def noting_the_end(self, session: str, send: Send) -> Send:
        """For the answer that is the session's stream."""

        async def noting(message: Message) -> None:
            if b'"close_stream"' in message.get("body", b""):
                now = time.monotonic()
                self._ended = {
                    name: ended for name, ended in self._ended.items() if now - ended < HEARD_WITHIN
                }
                self._ended[session] = now
            await send(message)

        return noting

    def after_the_end(self, session: str, send: Send) -> Send:
        """For the answer that tells of a new event, which is at work meanwhile."""

        async def waiting(message: Message) -> None:
            if message["type"] == "http.response.start":
                left = self._ended.get(session, 0.0) + HEARD_WITHIN - time.monotonic()
                if left > 0:
                    await asyncio.sleep(left)
            await send(message)

        return waiting
