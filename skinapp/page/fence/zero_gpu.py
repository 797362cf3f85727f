"""Lets a Space run on ZeroGPU, the hardware that the hub gives to Gradio Spaces of free accounts.

There the hub lends a GPU to the functions that ask for one, and ends a Space in which none does. Our networks need none: one
function asks and is never called, and they run on the processor as everywhere. The package `spaces`, which the hub installs, reports
such functions when Gradio's `launch` is called; we serve the page ourselves, so the report is made here.
"""

import os


def report() -> None:
    """On a ZeroGPU Space, register one function and tell the hub; elsewhere do nothing. Raises RuntimeError where the hub refuses."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in {"1", "t", "true"}:  # as `spaces` reads it
        return
    from spaces import GPU
    from spaces.zero import startup

    GPU(_never_called)
    startup()


def _never_called() -> None:
    """What the hub is told of."""
