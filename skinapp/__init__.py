"""skinapp: seven class probabilities and a saliency map for a dermatoscopic photograph. Not a medical device."""

import os

# Whatever else a shell or ~/.keras prefers; before Keras is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"

__version__ = "0.1.0"

NOTICE = (
    "Not a medical device. For research and teaching only: the probabilities are a network's, not a diagnosis, "
    "and no decision about a patient may rest on them."
)
