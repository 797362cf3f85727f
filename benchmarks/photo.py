"""One photo in a warm process: prediction, saliency maps, and how the cost grows with the size of the file.

python -m benchmarks.photo      # a minute on two cores
"""

import io
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.table import Line, command, compared
from skinapp.network.classifier import Classifier, load
from skinapp.network.folders import default_model
from skinapp.network.saliency import METHODS, explain
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import open_photo, to_input
from skinapp.reading import read

ROUNDS = 40
SIZES = ((640, 480), (2048, 1536), (4000, 3000), (8000, 6000))  # 0.3, 3, 12 and 48 megapixels


def bare_network(classifier: Classifier, photos: int = 1) -> Callable[[], np.ndarray]:
    """The reference: a traced pass from pixels to logits, all views of the model in one batch, and nothing else."""
    photo, configuration = draw_lesion("mel"), classifier.configuration
    pixels = to_input(photo, configuration.input_size, configuration.resampling)
    batch = tf.constant(np.repeat(pixels, photos, axis=0))
    return lambda: classifier.forward(batch)[1].numpy()


def lines(rounds: int = ROUNDS, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Line]:
    """All lines of the default model."""
    classifier = load(default_model())
    configuration, photo = classifier.configuration, draw_lesion("mel")
    bare, prediction = bare_network(classifier), classifier(photo)
    batch = tf.constant(prediction.picture)
    network = tf.function(lambda x: classifier.folded(x, training=False)[1], jit_compile=False)

    def beside(what: str, work: Callable[[], object]) -> Line:
        return compared(what, work, bare, rounds)

    yield beside(f"**bare network, {configuration.views} views in one batch**", bare)
    yield beside("one of its views", lambda: network(batch).numpy())
    yield beside("prediction (600x450 picture to probabilities)", lambda: classifier(photo))
    yield beside(
        f"prediction with map ({METHODS[configuration.map_method]})",
        lambda: explain(classifier, classifier(photo), "mel"),
    )
    for method, name in METHODS.items():
        yield beside(f"{name} alone", lambda method=method: explain(classifier, prediction, "mel", method))
    for size in sizes:
        data = _jpeg(size)
        megapixels = f"{size[0] * size[1] / 1e6:.2g} megapixels"
        yield beside(f"decoding a JPEG of {megapixels}", lambda data=data: open_photo(data))
        yield beside(f"JPEG of {megapixels} to reading", lambda data=data: read(data, classifier))


def _jpeg(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    draw_lesion("mel", size=(800, 600)).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(command(__doc__, lines))
