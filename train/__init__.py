"""Trains the networks, measures them, and writes the model folders. What stands here is a command; the folders hold what they share."""

import os

# Whatever else a shell or ~/.keras prefers; before Keras is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
