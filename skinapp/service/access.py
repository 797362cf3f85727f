"""Who is let in, and how often: no other site, user and password, and requests per minute."""

import base64
import binascii
import hmac
import math
import time
from urllib.parse import urlsplit

from skinapp.service.asgi import App, Receive, Refusal, Scope, Send, address, header
from skinapp.service.settings import Settings

OPEN = {"/health", "/ready"}  # whoever watches over the process needs no password
MOST_CLIENTS = 10_000  # remembered at once: a bound for the memory


class Access:
    """ASGI layer. Asks for the user and password of the settings (HTTP Basic) and limits what a client may cost."""

    def __init__(self, app: App, settings: Settings):
        self.app = app
        self._expected = f"{settings.user}:{settings.password}".encode() if settings.user else b""
        self._per_minute = settings.requests_per_minute
        self._left: dict[str, tuple[float, float]] = {}  # client: requests left, and when that was so

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                _refuse_other_sites(scope)
                self._ask_password(scope)
                if self._per_minute and scope["method"] == "POST":
                    self._count(address(scope), time.monotonic())
            except Refusal as refusal:
                await refusal.send(send)
                return
        await self.app(scope, receive, send)

    def _ask_password(self, scope: Scope) -> None:
        if not self._expected:
            return
        scheme, _, encoded = header(scope, b"authorization").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        if not hmac.compare_digest(given, self._expected):
            raise Refusal(
                401,
                "This service asks for a user and a password.",
                www_authenticate='Basic realm="skinapp", charset="UTF-8"',
            )

    def _count(self, client: str, now: float) -> None:
        """A bucket a client that holds a minute's requests and fills steadily."""
        left, since = self._left.pop(client, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
        self._left[client] = (
            max(left - 1, 0) if left >= 1 else left,
            now,
        )  # the last place: most recently used
        if len(self._left) > MOST_CLIENTS:
            del self._left[next(iter(self._left))]
        if left < 1:
            seconds = math.ceil((1 - left) * 60 / self._per_minute)
            raise Refusal(
                429,
                f"More than {self._per_minute} requests a minute: try again in {seconds} s.",
                retry_after=str(seconds),
            )


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
