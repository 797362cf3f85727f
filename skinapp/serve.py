"""Starts the page and the API: `skinapp serve` and `python app.py`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

from skinapp import NOTICE
from skinapp.network.configuration import ModelError
from skinapp.service.arenas import few_arenas
from skinapp.service.uploads import PrivateFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """`skinapp serve`: what is not given comes from the environment, as for `serve`. Returns 2 where it cannot begin."""
    parser = argparse.ArgumentParser(
        prog="skinapp serve",
        description=f"Serve the page and the API, by default on http://127.0.0.1:7860. {NOTICE}",
        epilog="example: skinapp serve --port 8000",
    )
    parser.add_argument(
        "--host", help="where to listen (default: GRADIO_SERVER_NAME, else this machine alone)"
    )
    parser.add_argument("--port", help="(default: GRADIO_SERVER_PORT, else 7860)")
    parser.add_argument("--model", help="a model folder to serve first (default: SKINAPP_MODEL, else fast)")
    options = parser.parse_args(arguments)
    if not find_spec("gradio"):
        print("Gradio is not installed: install skinapp with the extra app, skinapp[app].", file=sys.stderr)
        return 2
    named = {
        "GRADIO_SERVER_NAME": options.host,
        "GRADIO_SERVER_PORT": options.port,
        "SKINAPP_MODEL": options.model,
    }
    os.environ.update({name: value for name, value in named.items() if value})
    serve()


def serve() -> NoReturn:
    """Serve until SIGTERM or SIGINT, with the settings of the environment, and end the process: 0, or 1 with one sentence on
    stderr where it cannot start."""
    few_arenas()
    # Both before Gradio is imported: nothing is sent anywhere, and uploads lie in a folder of our own that dies with us.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    uploads = PrivateFolder()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.path)

    def end(status: int = 0) -> NoReturn:
        """Remove the uploads and end, at once: TensorFlow may still be loading in a thread that nothing stops."""
        uploads.remove()
        sys.stdout.flush()
        os._exit(status)

    def ended(number: int, frame: FrameType | None) -> None:
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ended)

    from skinapp.page import build, launch
    from skinapp.service import logs
    from skinapp.service.engine import Engine
    from skinapp.service.settings import SettingError, Settings

    try:
        logs.configure()
        settings = Settings.from_environment()
        engine = Engine(settings)
        launch(build(engine), engine, settings, uploads.path)
    except (ModelError, SettingError) as error:
        print(f"skinapp cannot start: {error}", file=sys.stderr)
        end(1)
    except OSError as error:
        print(
            f"skinapp cannot start: it cannot listen there ({error.strerror}): set GRADIO_SERVER_PORT to a free port.",
            file=sys.stderr,
        )
        end(1)
    end()
