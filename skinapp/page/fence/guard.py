"""The layer right around Gradio: which of its routes there are, whose files and sessions are whose, no address is fetched,
and what Gradio would answer with a status alone is told in a sentence.

Gradio lets whoever knows a path read the file, lets whoever knows a session's name read its results, and fetches addresses
that a client sends as files. Here a file is shown to and used by those only whom the server told of it, a session
belongs to the first one that used it, and what a client sends as a file has to be one that it uploaded.
"""

import json
import re
import secrets
import shutil
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import parse_qs

from skinapp.page.fence.streams import Streams
from skinapp.service.asgi import App, Message, Receive, Refusal, Scope, Send, address, busy, header
from skinapp.service.uploads import Ledger

EVENT_BYTES = 4 * 2**20  # of an event's JSON: photos travel as uploads, not in it
SPARE_BYTES = 64 * 2**20  # of the disk, which uploads may not take

# All that the page and the clients need. Gradio's other routes (proxy, recordings, deep links, monitoring, ...) are not there.
_API = "/gradio_api"
_READ = re.compile(
    r"/(?:|config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(?:/\d+)?|(?:assets|static|svelte)/.+"
    r"|v1/classify|health|ready|metrics"
    rf"|{_API[1:]}/(?:info/?|startup-events|app_id/?|user/?|token/?|login_check/?|theme\.css|queue/status|queue/data"
    r"|upload_progress|heartbeat/[^/]+|call/(?:v2/)?[^/]+/[^/]+|file=.+))"
)
_WRITE = re.compile(
    r"/(?:v1/classify"
    rf"|{_API[1:]}/(?:upload|queue/join|call/(?:v2/)?[^/]+/?|run/[^/]+/?|cancel|reset/?))"
)
_FILE = f"{_API}/file="
_UPLOAD = f"{_API}/upload"
_STREAM = f"{_API}/queue/data"
_EVENT = re.compile(rf"{_API}/(?:queue/join|call|run|cancel|reset)(?:/|$)")
_RESULT = re.compile(rf"{_API}/(?:upload|queue/data|queue/join|call|run)(?:/|$)")
_ONE_S_OWN = re.compile(rf"{_API}/(?:heartbeat|call(?:/v2)?/[^/]+)/([^/]+)$")
_ONE_S_EVENT = re.compile(rf"{_API}/call(?:/v2)?/[^/]+/([^/]+)")
_ADDRESS = re.compile(
    r"\s*(?:[a-z][a-z0-9+.\-]*:\s*)?[/\\]{2}|\s*(?:file|data|javascript|blob):", re.IGNORECASE
)
_TOKEN = re.compile(r"[\w-]{43}")


class Events(Protocol):
    """What the page knows of its functions."""

    def check(self, path: str, event: dict[str, Any]) -> None:
        """Raises Refusal where no function takes that event."""

    def has(self, name: str) -> bool:
        """Whether there is a stream of that event or session."""


class Guard:
    """ASGI layer. A client is known by a random cookie, or by its address where it keeps none."""

    def __init__(self, app: App, ledger: Ledger, events: Events, on_space: bool):
        self.app = app
        self.ledger = ledger
        self.events = events
        self.on_space = on_space
        self._streams = Streams()
        self._told = re.compile(rb'"(' + re.escape(str(ledger.folder).encode()) + rb'/(?:[^"\\]|\\.)+)"')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._guarded(scope, receive, send)
            except Refusal as refusal:
                await refusal.send(send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks it
        else:
            await self.app(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        allowed = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}.get(method)
        if not allowed or not allowed.fullmatch(path):
            raise Refusal(404, "There is nothing here.")
        name = self._cookie_name(scope)
        token = _token(scope, name)
        owner = f"cookie {token}" if token else f"address {address(scope)}"
        if path.rstrip("/") in {"", "/config"} and not token:  # gradio_client keeps the cookies of the second
            send = self._with_cookie(scope, name, send)
        if path.startswith(_FILE):
            self._check_file(path.removeprefix(_FILE), owner)
        self._check_session(scope, owner)
        if path == _STREAM:
            session = _asked(scope).get("session_hash", [""])[0]
            self._check_stream(session)
            send = self._streams.noting_the_end(session, send)
        if method != "POST" and (event := _ONE_S_EVENT.fullmatch(path)):
            self._check_stream(event.group(1))
        if _EVENT.match(path) and method == "POST":
            receive, session = await self._checked(scope, receive, owner)
            send = self._streams.after_the_end(session, send)
        if _RESULT.match(path):
            scope["headers"] = [
                pair for pair in scope["headers"] if pair[0] != b"accept-encoding"
            ]  # it is read here
            send = self._telling(owner, send)
        if path == _UPLOAD:
            self._check_room(scope)
            await self._stored(scope, receive, send)
        elif _EVENT.match(path):
            await self._instead(503, busy(), scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _check_file(self, path: str, owner: str) -> None:
        if not self.ledger.may_see(path, owner):
            raise Refusal(403, "This file is not yours, or it has been deleted meanwhile.")

    def _check_session(self, scope: Scope, owner: str) -> None:
        """Sessions, events and uploads under way that a path or a query names."""
        asked = _asked(scope)
        named = asked.get("session_hash", []) + [f"upload {name}" for name in asked.get("upload_id", [])]
        own = _ONE_S_OWN.match(scope["path"]) if scope["method"] != "POST" else None
        named += [own.group(1)] if own else []
        for name in named:
            if not self.ledger.may_use(name, owner):
                raise Refusal(403, "This session is not yours: load the page again.")

    def _check_room(self, scope: Scope) -> None:
        length = header(scope, b"content-length")
        needed = SPARE_BYTES + (int(length) if length.isdecimal() else 0)
        if shutil.disk_usage(self.ledger.folder).free < needed:
            raise Refusal(507, "The server has no room for uploads at the moment: try again in ten minutes.")

    def _check_stream(self, name: str) -> None:
        if not self.events.has(name):
            raise Refusal(404, "There is no such event, or it is long over: send it again.")

    async def _stored(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Says so where an upload cannot be written, instead of Gradio's bare 500."""
        full = Refusal(507, "The server cannot store uploads at the moment: try again in ten minutes.")
        try:
            await self._instead(500, full, scope, receive, send)
        except OSError:
            raise full from None

    async def _instead(
        self, status: int, refusal: Refusal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Refuses where Gradio answers with that status or a higher one, such as 503 without a time where its queue is full."""
        failed = False

        async def unless_failed(message: Message) -> None:
            nonlocal failed
            failed = failed or message.get("status", 200) >= status
            if not failed:
                await send(message)

        await self.app(scope, receive, unless_failed)
        if failed:
            raise refusal

    async def _checked(self, scope: Scope, receive: Receive, owner: str) -> tuple[Receive, str]:
        """Reads an event, refuses what it may not name, and hands on what was read: written anew, so that nobody
        understands it otherwise. Returns its session, too."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "The request was cut short.")
            body.extend(message.get("body", b""))
            if len(body) > EVENT_BYTES:
                raise Refusal(413, "This event is too large: send photos as uploads.")
            if not message.get("more_body", False):
                break
        try:
            event = json.loads(body)
            if not isinstance(event, dict):
                raise Refusal(400, "An event is a JSON object.")
            for key in ("session_hash", "event_id"):
                name = event.get(key)
                if name is not None and not (isinstance(name, str) and self.ledger.may_use(name, owner)):
                    raise Refusal(403, "This session is not yours: load the page again.")
            self._check_values(event, owner)
            self.events.check(scope["path"], event)
            checked = json.dumps(event).encode()
        except (ValueError, RecursionError):
            raise Refusal(400, "This is no JSON that can be read here.") from None
        kept = [pair for pair in scope["headers"] if pair[0] not in {b"content-length", b"content-type"}]
        scope["headers"] = [
            *kept,
            (b"content-length", str(len(checked)).encode()),
            (b"content-type", b"application/json"),
        ]
        messages: list[Message] = [{"type": "http.request", "body": checked, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        return replay, str(event.get("session_hash"))

    def _check_values(self, value: Any, owner: str) -> None:
        """Files have to be the client's own uploads. Takes the addresses out of them."""
        match value:
            case {"path": str(path)}:
                if not self.ledger.may_see(path, owner):
                    if self.ledger.is_gone(path):
                        raise Refusal(410, "These photos have been deleted meanwhile: choose them again.")
                    raise Refusal(403, "Send photos as uploads: no address and no other file is read.")
                if "url" in value:
                    value["url"] = None
                for key, inner in value.items():
                    if key not in ("path", "orig_name"):
                        self._check_values(inner, owner)
            case {"url": str(url)} if is_address(url):
                raise Refusal(403, "Addresses are not fetched: upload the photo itself.")
            case dict():
                for inner in value.values():
                    self._check_values(inner, owner)
            case list():
                for inner in value:
                    self._check_values(inner, owner)

    def _telling(self, owner: str, send: Send) -> Send:
        """Notes which files and events an answer tells the client of, before it does."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body":
                body = message.get("body", b"")
                for found in self._told.finditer(body):
                    self.ledger.tell(json.loads(b'"' + found.group(1) + b'"'), owner)
                event = re.fullmatch(rb'\s*\{"event_id":\s*"(\w+)"\}\s*', body)
                if event:
                    self.ledger.may_use(event.group(1).decode(), owner)
            await send(message)

        return noting

    def _cookie_name(self, scope: Scope) -> str:
        return "__Host-skinapp" if self._secure(scope) else "skinapp"

    def _secure(self, scope: Scope) -> bool:
        return self.on_space or scope.get("scheme") == "https"

    def _with_cookie(self, scope: Scope, name: str, send: Send) -> Send:
        # In the frame in which a Space is shown, a cookie is another site's; Partitioned keeps it to that frame.
        kind = "SameSite=None; Partitioned" if self.on_space else "SameSite=Lax"
        secure = "; Secure" if self._secure(scope) else ""
        cookie = f"{name}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; {kind}{secure}"

        async def setting(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        return setting


def is_address(text: str) -> bool:
    """Whether it may be taken for the address of a file, in this machine or another."""
    return bool(_ADDRESS.match(text))


def _asked(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1"))


def _token(scope: Scope, name: str) -> str:
    """The client's cookie, or "" where it brings none of ours."""
    try:
        jar = SimpleCookie(header(scope, b"cookie"))
    except CookieError:
        return ""
    token = jar[name].value if name in jar else ""
    return token if _TOKEN.fullmatch(token) else ""
