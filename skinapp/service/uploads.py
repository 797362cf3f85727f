"""The private folder in which uploads lie until ten minutes after their last use at most, and the ledger of who may see what in it."""

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":  # where there are no such locks, a killed process leaves its folder behind
    import fcntl

KEPT_SECONDS = 540.0  # since a file was last written; with the pause between two rounds, ten minutes at most
PAUSE = 30.0  # seconds
PREFIX = "skinapp-"
MOST_SESSIONS = 100_000  # remembered at once: a bound for the memory
LOCK = ".lock"  # held for as long as the process lives: a folder whose lock is free has lost its process


class PrivateFolder:
    """A temporary folder that only this user can enter. It goes with `remove`, or when skinapp next starts after a crash.

    parent: where it is made, by default where the system's temporary files go.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        if sys.platform != "win32":
            _remove_orphans(self.path.parent)
            unlocked = self.path / f"{LOCK}-open"
            self._lock = os.open(unlocked, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            unlocked.rename(self.path / LOCK)  # under this name it was never free

    def remove(self) -> None:
        """Remove the folder and all that lies in it; once is enough."""
        shutil.rmtree(self.path, ignore_errors=True)


class Ledger:
    """Who may see which file of the folder, and who uses which session. Safe from several threads.

    An owner is any string that names a client. A file belongs to those who were told its path by the server, a session to
    the first one that used it. What lies in the folder when the ledger is opened belongs to the page and may be seen by all.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self._guard = threading.Lock()
        self._owners: dict[str, set[str]] = {}
        self._sessions: dict[str, tuple[str, float]] = {}
        self._public = frozenset(str(path) for path in _files(self.folder) if path.name != LOCK)

    def tell(self, path: str, owner: str) -> None:
        """The server has told `owner` of a file."""
        with self._guard:
            self._owners.setdefault(path, set()).add(owner)

    def may_see(self, path: str, owner: str) -> bool:
        """Whether that very path is the owner's or the page's, and a file of the folder itself: no link out of it."""
        with self._guard:
            known = path in self._public or owner in self._owners.get(path, ())
        try:
            return known and os.path.realpath(path) == path and stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False

    def is_gone(self, path: str) -> bool:
        """Whether a path names a place in the folder at which nothing lies. Of other places nothing is told."""
        place = os.path.normpath(path)
        return place.startswith(f"{self.folder}{os.sep}") and not os.path.lexists(place)

    def may_use(self, session: str, owner: str) -> bool:
        """Whether a session is the owner's, or nobody's yet: then it is the owner's from now on."""
        with self._guard:
            first, used = self._sessions.pop(session, (owner, 0.0))
            self._sessions[session] = (
                first,
                time.monotonic() if first == owner else used,
            )  # in the last place
            if len(self._sessions) > MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            return first == owner

    def sweep(self, kept: float = KEPT_SECONDS) -> list[str]:
        """Remove files older than `kept` seconds, half-sent uploads included, and forget what belonged to whom.
        Returns the paths of removed files."""
        removed, now = [], time.time()
        for path in _files(self.folder):
            if str(path) in self._public or path.name == LOCK:
                continue
            try:
                if now - path.lstat().st_mtime > kept:
                    path.unlink()
                    removed.append(str(path))
            except FileNotFoundError:
                continue
        for folder in sorted((path for path in self.folder.rglob("*") if path.is_dir()), reverse=True):
            try:
                if now - folder.stat().st_mtime > kept:
                    folder.rmdir()  # only where it is empty
            except OSError:
                continue
        with self._guard:
            for gone in [name for name in self._owners if not os.path.lexists(name)]:
                del self._owners[gone]
            old = time.monotonic() - 3600
            for session in [name for name, (_, used) in self._sessions.items() if used < old]:
                del self._sessions[session]
        return removed


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _remove_orphans(parent: Path) -> None:
    """Remove the folders of processes of this user that were killed before they could do it themselves."""
    if sys.platform == "win32":
        return
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(lock)
