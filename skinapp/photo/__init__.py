"""The photo: where it comes from, whether it may be opened, and the square of it that the network reads."""
