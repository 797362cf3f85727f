"""The architectures, and how one is trained."""
