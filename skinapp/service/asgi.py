"""What the layers around the app share: the types of ASGI, and the one way in which they refuse."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(Exception):
    """A request that is not answered; its text is one sentence for the client, `status` its HTTP status."""

    def __init__(self, status: int, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def send(self, send: Send) -> None:
        """Answer with the sentence, as {"error": sentence}."""
        body = json.dumps({"error": str(self)}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))} | self.headers
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": listed})
        await send({"type": "http.response.body", "body": body})


def busy() -> Refusal:
    """Too much is asked for at once, and nobody knows for how long."""
    return Refusal(503, "The service is busy: try again in 10 s.", retry_after="10")


def header(scope: Scope, name: bytes) -> str:
    """The first header of that lower-case name, or ""."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def address(scope: Scope) -> str:
    """Where the client is; behind a proxy that uvicorn trusts, where the proxy's client is."""
    return scope["client"][0] if scope.get("client") else "unknown"
