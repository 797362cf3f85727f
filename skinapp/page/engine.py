"""Loads TensorFlow and the models in the background, so that the page paints first."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

# Gradio asks Matplotlib for its backend at every event and fails where our thread has pyplot half imported.
import matplotlib.pyplot  # noqa: F401
from PIL import Image

from skinapp.lesions import CODES
from skinapp.models import model_folders, title
from skinapp.preprocess import Frame, open_photo

if TYPE_CHECKING:  # importing them for real loads TensorFlow
    from skinapp.classifier import Classifier
    from skinapp.reading import Reading


class UnknownModel(ValueError):
    """A model name that is not on offer; its text names those that are."""


class Engine:
    """The models on offer, ready or loading. `names`: the default first; `choices`: (title, name). Raises ModelError where there is none."""

    def __init__(self) -> None:
        folders = model_folders()
        self.names = list(folders)
        self.choices = [(title(folder), name) for name, folder in folders.items()]
        self._classifiers: Future[dict[str, Classifier]] = ThreadPoolExecutor(1).submit(_load, folders)

    def read(self, photo: str | Image.Image, model: str, frame: Frame | None = None) -> Reading:
        """Read a photo, as soon as the models are loaded. photo: its path, or the picture from `open_photo`; model: one of
        `names`; frame: the part that is read, by default the largest centred square.

        Raises PhotoError and UnknownModel.
        """
        classifier = self.classifier(model)
        from skinapp.reading import read_photo

        return read_photo(open_photo(photo) if isinstance(photo, str) else photo, classifier, frame)

    def classifier(self, model: str) -> Classifier:
        """A model, as soon as it is loaded. model: one of `names`. Raises UnknownModel."""
        if model not in self.names:
            raise UnknownModel(
                f"There is no model {model!r}: the names on offer are {', '.join(self.names)}."
            )
        return self._classifiers.result()[model]


def _load(folders: dict[str, Path]) -> dict[str, Classifier]:
    """Load every model and warm it up with a grey picture, map included, so that the first photo waits for nothing."""
    try:
        from skinapp.classifier import load
        from skinapp.saliency import explain

        classifiers = {name: load(folder) for name, folder in folders.items()}
        for classifier in classifiers.values():
            explain(classifier, classifier(Image.new("RGB", (256, 256), "grey")), CODES[0])
        return classifiers
    except Exception as error:  # noqa: BLE001  # whatever it is, there is nothing to serve then
        print(f"skinapp cannot start: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # from a thread, nothing gentler ends the server
