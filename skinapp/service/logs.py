"""Logs that hold times, sizes and places in the code, but nothing that a client sent: no file name, no value."""

import logging
import os
import sys
import traceback
from types import TracebackType
from typing import Any

_LOGGER = logging.getLogger("skinapp")


class _Formatter(logging.Formatter):
    """Names the kind of an exception and where it came from; its text may quote what a client sent."""

    def formatException(self, ei: Any) -> str:
        return _place(ei[0], ei[2])


def configure() -> None:
    """Send all logging to stderr in that form, and what Gradio prints of exceptions with it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOGGER.setLevel(logging.INFO)
    # Gradio prints whole tracebacks of failed events, whose last line may quote a path or a value.
    traceback.print_exc = _print_exception  # type: ignore[assignment]


def _print_exception(*_: object, **__: object) -> None:
    kind, _value, trace = sys.exc_info()
    _LOGGER.error("An event failed. %s", _place(kind, trace))


def _place(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    """`ValueError at a.py:12 < b.py:34`: the innermost places, without a word of what was worked on."""
    frames = traceback.extract_tb(trace)[-4:]
    places = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in reversed(frames))
    return f"{kind.__name__ if kind else 'Nothing'} at {places}"
