"""An archive of photos through the network, on one machine or on a cluster (Ray Data). Needs requirements-archive.txt.

The command lists the photos once (`photos`), workers score them block by block (`workers`), and the command alone writes what
they send back (`results`): a worker or a node may die at any time, and the command itself, too.
"""

import os

# Before Ray is imported: it tells its makers nothing, and its core nothing to the terminal, where the progress is.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")


class ArchiveError(RuntimeError):
    """Why the command ends; its text is one sentence for the user."""
