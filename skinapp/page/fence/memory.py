"""What sessions look at, and how it is forgotten: Gradio keeps whatever a page has shown, our pictures included, for ten
thousand sessions."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import gradio as gr

from skinapp.service.uploads import KEPT_SECONDS, Ledger
from skinapp.service.uploads import PAUSE as SWEEP_PAUSE

KEPT = timedelta(minutes=9)  # since a session's last use; with the pause between two rounds, ten at most
PAUSE = 60.0  # seconds


def forget_old_sessions(page: gr.Blocks, kept: timedelta = KEPT, pause: float = PAUSE) -> None:
    """Drop what the server remembers of sessions that have not been used for a while, for as long as the process runs."""

    def rounds() -> None:
        while True:
            time.sleep(pause)
            forget(page, kept)

    threading.Thread(target=rounds, daemon=True).start()


def forget(page: gr.Blocks, kept: timedelta) -> None:
    """Drop the sessions that were last used longer than `kept` ago."""
    holder = getattr(page, "state_holder", None)  # there is none before the page is launched
    if holder is None:
        return
    for session, used in list(holder.time_last_used.items()):
        if datetime.now() - used > kept:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)


def is_current(page: gr.Blocks, state: gr.State, value: Any, request: gr.Request) -> bool:
    """Whether a session's state is still the value that an event took from it, and no other event has replaced it since."""
    return page.state_holder[str(request.session_hash)][state._id] is value


def empty_folder(
    page: gr.Blocks, ledger: Ledger, kept: float = KEPT_SECONDS, pause: float = SWEEP_PAUSE
) -> None:
    """Delete uploads and answers' files that are old, for as long as the process runs. Gradio's own `delete_cache` knows
    nothing of half-sent files and keeps a list of all names."""

    def rounds() -> None:
        while True:
            time.sleep(pause)
            removed = ledger.sweep(kept)
            for names in page.temp_file_sets:
                names.difference_update(removed)

    threading.Thread(target=rounds, daemon=True).start()
