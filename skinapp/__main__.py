"""`python -m skinapp` is the command `skinapp`."""

import sys

from skinapp.cli import main

if __name__ == "__main__":
    sys.exit(main())
