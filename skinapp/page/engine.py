"""Loads TensorFlow and the models in the background, so that the page paints first."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from PIL import Image

from skinapp.lesions import CODES

if TYPE_CHECKING:  # importing it for real loads TensorFlow
    from skinapp.classifier import Classifier
    from skinapp.reading import Reading


class UnknownModel(ValueError):
    """A model name that is not on offer; its text names those that are."""


class Engine:
    """The models on offer, ready or loading."""

    def __init__(self) -> None:
        self._classifiers: Future[dict[str, Classifier]] = ThreadPoolExecutor(1).submit(_load)

    def read(self, photo: str, model: str | None = None) -> Reading:
        """Read a photo. photo: its path; model: a name on offer, by default the first.

        Raises PhotoError, UnknownModel, and ModelError where no model could be loaded.
        """
        classifiers = self._classifiers.result()
        model = model or next(iter(classifiers))
        if model not in classifiers:
            raise UnknownModel(
                f"There is no model {model!r}: the names on offer are {', '.join(classifiers)}."
            )
        from skinapp.reading import read

        return read(photo, classifiers[model])

    @staticmethod
    def names() -> list[str]:
        """The models on offer, the default first, without loading them."""
        from skinapp.models import model_folders

        return list(model_folders())


def _load() -> dict[str, Classifier]:
    """Load every model and warm it up with a grey picture, map included, so that the first photo waits for nothing."""
    from skinapp.models import ModelError, model_folders

    try:
        from skinapp.classifier import load
        from skinapp.saliency import grad_cam

        classifiers = {name: load(folder) for name, folder in model_folders().items()}
        for classifier in classifiers.values():
            features = classifier(Image.new("RGB", (256, 256), "grey")).features
            for code in CODES[:2]:
                grad_cam(classifier)(features, code)
        return classifiers
    except ModelError as error:
        print(f"skinapp cannot start: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # from a thread, nothing gentler ends a server that has nothing to serve
