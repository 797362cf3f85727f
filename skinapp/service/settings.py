"""What an administrator may set, read from the environment once at start."""

import os
from dataclasses import dataclass

from skinapp.photo.preprocess import MOST_BYTES

FRAMING = 64 * 1024  # bytes of a multipart body that are not the photo


class SettingError(ValueError):
    """A setting that cannot be used; its text is one sentence: which, and what to do."""


@dataclass(frozen=True)
class Settings:
    """How the service is run. The variables of the environment are named in `from_environment`."""

    host: str = "127.0.0.1"
    port: int = 7860
    user: str = ""  # with `password`: asked of everybody; both empty: nobody is asked
    password: str = ""
    requests_per_minute: int = 0  # per client, of those that cost something; 0: no limit
    # For sending a body, and for the answer of /v1/classify: a first photo waits for TensorFlow.
    request_seconds: float = 60.0
    waiting: int = 64  # photos in work or in the queue at once; one more is told that the service is busy
    body_bytes: int = (
        MOST_BYTES + FRAMING
    )  # of one request; `upload_bytes` where the page sends several files
    upload_bytes: int = 512 * 2**20
    on_space: bool = False  # Hugging Face shows a Space in a frame of its own page, behind its proxy

    @classmethod
    def from_environment(cls) -> "Settings":
        """GRADIO_SERVER_NAME, GRADIO_SERVER_PORT, SPACE_ID as Gradio reads them; SKINAPP_USER and SKINAPP_PASSWORD,
        SKINAPP_REQUESTS_PER_MINUTE, SKINAPP_REQUEST_SECONDS, SKINAPP_WAITING, SKINAPP_UPLOAD_MEGABYTES. Raises SettingError."""
        user, password = os.environ.get("SKINAPP_USER", ""), os.environ.get("SKINAPP_PASSWORD", "")
        if bool(user) != bool(password) or ":" in user:
            raise SettingError(
                "SKINAPP_USER and SKINAPP_PASSWORD go together, and the user has no colon: set both or unset both."
            )
        on_space = bool(os.environ.get("SPACE_ID"))
        return cls(
            host=os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if on_space else cls.host),
            port=_number("GRADIO_SERVER_PORT", cls.port, 0, 65535),
            user=user,
            password=password,
            requests_per_minute=_number("SKINAPP_REQUESTS_PER_MINUTE", cls.requests_per_minute, 0, 1_000_000),
            request_seconds=_number("SKINAPP_REQUEST_SECONDS", int(cls.request_seconds), 1, 3600),
            waiting=_number("SKINAPP_WAITING", cls.waiting, 1, 10_000),
            upload_bytes=_number("SKINAPP_UPLOAD_MEGABYTES", cls.upload_bytes // 2**20, 1, 4096) * 2**20,
            on_space=on_space,
        )


def _number(name: str, default: int, least: int, most: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise SettingError(
            f"{name} is {text!r}: set it to a whole number from {least} to {most} or unset it."
        )
    return int(text)
