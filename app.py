"""Starts the page: `python app.py`, on http://127.0.0.1:7860 or where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say."""

import os
import signal
import sys
import tempfile

# Both before Gradio is imported: nothing is sent anywhere, and uploads lie in a folder of our own that dies with us.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
_uploads = tempfile.TemporaryDirectory(prefix="skinapp-")
os.environ["GRADIO_TEMP_DIR"] = _uploads.name
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an orderly end, in which the folder is removed

from skinapp.models import ModelError
from skinapp.page import build, launch

try:
    demo = build()
except ModelError as error:
    sys.exit(f"skinapp cannot start: {error}")

if __name__ == "__main__":
    launch(demo)
