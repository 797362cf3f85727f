"""Memory that comes back: glibc gives each thread a heap of its own, and what is freed in one is of no use to the others."""

import ctypes
import sys

M_ARENA_MAX = -8  # <malloc.h>
MOST_ARENAS = 2


def few_arenas() -> None:
    """Let all threads share two heaps, as MALLOC_ARENA_MAX=2 would; for the start, before there are threads.

    Without it a server under load goes on growing by some megabytes a hundred photos. Does nothing where the C library
    is not glibc.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(M_ARENA_MAX, MOST_ARENAS)
