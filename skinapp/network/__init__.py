"""The network: its folder, its forward pass, and what is asked of it besides probabilities."""

import os

# Whatever else a shell or ~/.keras prefers; before Keras is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
