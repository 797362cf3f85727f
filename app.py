"""Starts the page: `python app.py`, on http://127.0.0.1:7860 or where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say."""

import os
import signal
import sys

from skinapp.service.arenas import few_arenas
from skinapp.service.uploads import PrivateFolder

few_arenas()
# Both before Gradio is imported: nothing is sent anywhere, and uploads lie in a folder of our own that dies with us.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
uploads = PrivateFolder()
os.environ["GRADIO_TEMP_DIR"] = str(uploads.path)


def end(status: int = 0) -> None:
    """Remove the uploads and end, at once: TensorFlow may still be loading in a thread that nothing stops."""
    uploads.remove()
    sys.stdout.flush()
    os._exit(status)


for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: end())

from skinapp.network.configuration import ModelError
from skinapp.page import build, launch
from skinapp.service import logs
from skinapp.service.engine import Engine
from skinapp.service.settings import SettingError, Settings

if __name__ == "__main__":
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
