"""What Gradio makes of an event, told to the guard before Gradio sees it: its own answer to a malformed one is a bare 500."""

import re
from functools import cached_property
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.data_classes import FileData

from skinapp.page.fence.guard import is_address
from skinapp.service.asgi import Refusal

_PATH = re.compile(r"/gradio_api/(?P<way>call/v2|call|run|queue/join)(?:/(?P<name>[^/]*))?/?")
_FILES = (gr.File, gr.UploadButton, gr.Image)
_UPLOAD = '{"path": the answer of /gradio_api/upload, "meta": {"_type": "gradio.FileData"}}'


class Events:
    """The functions of a page, and which of them have been asked for."""

    def __init__(self, page: gr.Blocks):
        self._page = page

    def check(self, path: str, event: dict[str, Any]) -> None:
        """Raises Refusal where an event names no function, or not the values that it takes, or goes round the queue."""
        asked = _PATH.fullmatch(path)
        if asked is None:
            return  # it cancels another event, and brings no values
        way, function = asked["way"], self._function(asked["way"], asked["name"], event)
        values = self._named_values(function, event) if way == "call/v2" else _values(function, event, way)
        for block, value in values:
            _check_value(block, value)
        if way == "run" and isinstance(
            function.concurrency_limit, int
        ):  # its own, which the queue alone keeps
            raise Refusal(
                403, f"Many photos wait in a queue: post to /gradio_api/call/{function.api_name} instead."
            )

    def has(self, name: str) -> bool:
        """Whether there is a stream of that event or session. Gradio answers 200 in any case, and then breaks off."""
        queue = self._page._queue
        return (
            name in queue.pending_messages_per_session
            or name in queue.event_ids_to_events
            or any(name in events for events in queue.pending_event_ids_session.values())
        )

    def _function(self, way: str, name: str | None, event: dict[str, Any]) -> BlockFunction:
        """As Gradio finds it, for which a number goes before a name."""
        number = event.get("fn_index") if way in ("run", "queue/join") else None
        if number is None:
            found = next((fn for fn in self._page.fns.values() if name and fn.api_name == name), None)
        else:
            found = self._page.fns.get(number) if isinstance(number, int) else None
        if found is None or found.fn is None:
            raise _unknown()
        return found

    def _named_values(self, function: BlockFunction, event: dict[str, Any]) -> list[tuple[Any, Any]]:
        parameters = self._parameters.get(f"/{function.api_name}")
        if parameters is None:
            raise _unknown()
        named = [parameter["parameter_name"] for parameter in parameters]
        needed = [
            parameter["parameter_name"] for parameter in parameters if not parameter["parameter_has_default"]
        ]
        if not set(needed) <= set(event) <= set(named):
            raise Refusal(400, f"The event has to name {_listed(needed)}, and may name {_listed(named)}.")
        blocks = dict(zip(named, _brought(function), strict=True))
        return [(blocks[name], value) for name, value in event.items()]

    @cached_property
    def _parameters(self) -> dict[str, list[dict[str, Any]]]:
        """Of each public function, as Gradio knows them."""
        endpoints = self._page.get_api_info()["named_endpoints"]
        return {name: endpoint["parameters"] for name, endpoint in endpoints.items()}


def _unknown() -> Refusal:
    return Refusal(404, "There is no such function: /gradio_api/info lists those that there are.")


def _brought(function: BlockFunction) -> list[Any]:
    """The inputs that a program brings: not what the server remembers of the session."""
    return [block for block in function.inputs if not block.skip_api]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def _name(block: Any) -> str:
    return block.label or type(block).__name__.lower()


def _values(function: BlockFunction, event: dict[str, Any], way: str) -> list[tuple[Any, Any]]:
    """(input, value) of all that is brought. The page brings a place for what the server remembers, too."""
    data, brought = event.get("data"), _brought(function)
    for blocks in (function.inputs, brought if way == "call" else function.inputs):
        if isinstance(data, list) and len(data) == len(blocks):
            return list(zip(blocks, data, strict=True))
    names = _listed([_name(block) for block in brought])
    raise Refusal(400, f"The event's data has to be a list of {len(brought)}: {names}.")


def _check_value(block: Any, value: Any) -> None:
    """What Gradio's components make no sentence of. They take null for nothing."""
    if value is None:
        return
    if isinstance(block, gr.Number | gr.Slider):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal(400, f"The event's {_name(block)} has to be a number.")
    elif isinstance(block, _FILES):
        several = getattr(block, "file_count", "single") != "single"
        files = value if several and isinstance(value, list) else [value]
        if any(isinstance(file, str) and is_address(file) for file in files):
            raise Refusal(403, "Addresses are not fetched: upload the photo itself.")
        if several is not isinstance(value, list) or not all(map(_is_upload, files)):
            kind = "a list of uploads, each" if several else "an upload,"
            raise Refusal(400, f"The event's {_name(block)} has to be {kind} {_UPLOAD}.")


def _is_upload(value: Any) -> bool:
    try:
        FileData.model_validate(value, context={"validate_meta": True})
    except ValueError:
        return False
    return True
