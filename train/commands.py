"""How a command of train/ ends: with an exit status, and one sentence about what is wrong with what it was given."""

import functools
import sys
from collections.abc import Callable, Sequence

from skinapp.network.configuration import ModelError


def in_one_sentence(main: Callable[[Sequence[str] | None], None]) -> Callable[..., int]:
    """A command line that returns its exit status: 0, or 1 with the error on stderr, where its input is to blame."""

    @functools.wraps(main)
    def command(arguments: Sequence[str] | None = None) -> int:
        try:
            main(arguments)
        except (ModelError, ValueError, OSError) as error:  # a DatasetError is a ValueError
            print(error, file=sys.stderr)
            return 1
        return 0

    return command
