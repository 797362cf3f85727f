"""Puts the layers around the app and serves it: one process, which finishes what runs when it is told to end."""

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from skinapp.service.access import Access
from skinapp.service.asgi import App
from skinapp.service.headers import Headers
from skinapp.service.limits import Limits
from skinapp.service.settings import Settings
from skinapp.service.uploads import Ledger
from skinapp.service.watch import Watch

FINISHES_WITHIN = 7  # seconds, for what runs; whoever sent SIGTERM waits ten before SIGKILL
ENDS_WITHIN = 9.0
# From a connection's first moment, or a later request's first byte, to the header's end.
HEADER_SECONDS = 20.0


def layered(app: App, settings: Settings) -> App:
    """The app with what stands around it, outermost first: count, headers, who, how much."""
    return Watch(Headers(Access(Limits(app, settings), settings), settings.on_space))


def serve(
    app: App,
    settings: Settings,
    ledger: Ledger,
    begun: Callable[[], None],
    ending: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, which is raised again afterwards. begun, ending: called in the loop, once requests are
    answered and when the end begins.

    Raises OSError where nobody can listen at the address.
    """
    listening = _listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        layered(app, settings),
        log_config=None,
        access_log=False,  # it would hold paths, which name files
        server_header=False,
        http=HeaderInTime,
        timeout_graceful_shutdown=FINISHES_WITHIN,
        # Only the hub's proxy reaches a Space; elsewhere FORWARDED_ALLOW_IPS names the proxies to be believed, and loopback,
        # which uvicorn believes by default, is anybody on this machine.
        forwarded_allow_ips="*" if settings.on_space else os.environ.get("FORWARDED_ALLOW_IPS", ""),
    )
    print(f"* Running on http://{settings.host}:{port}", flush=True)
    _Server(config, begun, ending, ledger).run(sockets=[listening])


class HeaderInTime(H11Protocol):
    """Ends a connection that has nothing in work and does not complete a header in time. uvicorn waits for ever, both for
    the first header and for a later one that has begun: enough such connections would hold every file handle."""

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_header(self) -> None:
        if self.cycle and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._overdue is None:  # or it runs on: a byte now and then buys no time
            self._overdue = self.loop.call_later(HEADER_SECONDS, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._overdue:
            self._overdue.cancel()
            self._overdue = None


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, begun: Callable[[], None], ending: Callable[[], None], ledger: Ledger
    ):
        super().__init__(config)
        self._begun = begun
        self._ending = ending
        self._ledger = ledger

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            last_resort = threading.Timer(ENDS_WITHIN, self._end_at_once)
            last_resort.daemon = True
            last_resort.start()
        super().handle_exit(sig, frame)

    def _end_at_once(self) -> None:
        shutil.rmtree(self._ledger.folder, ignore_errors=True)
        os._exit(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begun()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()  # Gradio's endless answers, which would be waited for in vain
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    listening.set_inheritable(True)
    # asyncio does that itself only where a socket names its protocol, which `create_server` does not; without it, a kept
    # connection waits 40 ms for each answer's second part.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
