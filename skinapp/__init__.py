"""skinapp: seven class probabilities and a saliency map for a dermatoscopic photograph. Not a medical device.

    import skinapp
    reading = skinapp.read("lesion.jpg")     # a file's path or bytes; the shipped model
    print(reading.top.name, reading.prediction.by_code)

Importing this loads neither TensorFlow nor Gradio; the first reading does.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skinapp.network.classifier import Classifier
    from skinapp.reading import Reading

__version__ = "0.1.0"
__all__ = ["NOTICE", "__version__", "load", "read"]

NOTICE = (
    "Not a medical device. For research and teaching only: the probabilities are a network's, not a diagnosis, "
    "and no decision about a patient may rest on them."
)


def load(model: str | PathLike[str] | None = None) -> Classifier:
    """Load a model, once a process.

    model: a name such as "fast", a model folder, or "hf://USER/NAME" (of the Hugging Face hub; "hf://USER/NAME@REVISION" for
    one version of it); None for that of SKINAPP_MODEL, else the shipped one. Raises skinapp.network.configuration.ModelError,
    whose text says what is wrong and what to do.
    """
    from skinapp.network.classifier import load as load_folder
    from skinapp.network.folders import default_model, model_folder

    return load_folder(default_model() if model is None else model_folder(str(model)))


def read(photo: str | PathLike[str] | bytes, model: Classifier | None = None) -> Reading:
    """Read the largest centred square of a dermatoscopic photo.

    photo: a JPEG, PNG, HEIC, WebP, TIFF, BMP or DICOM file's path or its bytes; model: from `load`, None for the shipped one.
    Returns probabilities, checks, and on demand the saliency map. Raises skinapp.photo.files.PhotoError where the file cannot
    be read, and what `load` raises.
    """
    from skinapp.reading import read as read_with

    return read_with(photo, load() if model is None else model)
