"""Who is let in, and how often: no other site, user and password, and requests per minute."""

import base64
import hmac
import math
import time
from urllib.parse import urlsplit

from skinapp.service.asgi import App, Receive, Refusal, Scope, Send, address, header
from skinapp.service.settings import Settings

OPEN = {"/health", "/ready"}  # whoever watches over the process needs no password
MOST_CLIENTS = 10_000  # remembered at once: a bound for the memory
GUESSES = 10  # wrong passwords a minute and client


class Bucket:
    """What each client has left of something that it may do so often a minute: full at first, and filling steadily."""

    def __init__(self, per_minute: int, what: str):
        self.per_minute = per_minute
        self._what = what
        self._left: dict[str, tuple[float, float]] = {}  # client: how much is left, and when that was so

    def check(self, client: str, now: float) -> float:
        """How much the client has left. Raises Refusal where that is less than one."""
        left, since = self._left.get(client, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - since) * self.per_minute / 60)
        if left < 1:
            seconds = math.ceil((1 - left) * 60 / self.per_minute)
            raise Refusal(
                429,
                f"More than {self.per_minute} {self._what} a minute: try again in {seconds} s.",
                retry_after=str(seconds),
            )
        return left

    def take(self, client: str, now: float) -> None:
        """Take one. Raises Refusal where there is none."""
        left = self.check(client, now)
        self._left.pop(client, None)
        self._left[client] = (left - 1, now)  # in the last place: most recently used
        if len(self._left) > MOST_CLIENTS:
            del self._left[next(iter(self._left))]


class Access:
    """ASGI layer. Asks for the user and password of the settings (HTTP Basic) and limits what a client may cost."""

    def __init__(self, app: App, settings: Settings):
        self.app = app
        self._expected = f"{settings.user}:{settings.password}".encode() if settings.user else b""
        self._requests = Bucket(settings.requests_per_minute, "requests")
        self._guesses = Bucket(GUESSES, "wrong passwords")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                _refuse_other_sites(scope)
                self._ask_password(scope, time.monotonic())
                if self._requests.per_minute and scope["method"] == "POST":
                    self._requests.take(address(scope), time.monotonic())
            except Refusal as refusal:
                await refusal.send(send)
                return
        await self.app(scope, receive, send)

    def _ask_password(self, scope: Scope, now: float) -> None:
        """After too many wrong passwords not even the right one opens: else guessing could go on."""
        if not self._expected:
            return
        offered = header(scope, b"authorization")
        if offered:
            self._guesses.check(address(scope), now)
        if not hmac.compare_digest(_basic(offered), self._expected):
            if offered:
                self._guesses.take(address(scope), now)
            raise Refusal(
                401,
                "This service asks for a user and a password.",
                www_authenticate='Basic realm="skinapp", charset="UTF-8"',
            )


def _basic(offered: str) -> bytes:
    """user:password of an Authorization header, or nothing."""
    scheme, _, encoded = offered.partition(" ")
    try:
        return base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        return b""


def _refuse_other_sites(scope: Scope) -> None:
    """No page of another site may send anything here by its visitor's browser. Programs, which name no origin, may.

    A browser says itself where a request comes from (Sec-Fetch-Site), but not over plain HTTP: then its Origin has to be the
    host that was asked for. X-Forwarded-Host needs no trusted proxy: a page can only send it if we allow it to, and we do not.
    """
    if scope["method"] in {"GET", "HEAD"}:
        return
    site, origin = header(scope, b"sec-fetch-site"), header(scope, b"origin")
    hosts = {header(scope, b"host").lower(), header(scope, b"x-forwarded-host").lower()}
    own = site in {"same-origin", "none"} if site else not origin or _host(origin) in hosts - {""}
    if not own:
        raise Refusal(403, "Another site may not use this service: open its own page.")


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
