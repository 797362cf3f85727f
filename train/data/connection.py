"""How the downloaders ask servers: names, patience, and the error that a person reads."""

import httpx

RETRIES = 5  # in a row without one new byte: a line that breaks often but moves on is never given up
RETRY_PAUSE = 10.0  # seconds; with RETRIES, most of a minute for a line or a server to come back
TIMEOUT = httpx.Timeout(60.0, connect=15.0)  # seconds; Dataverse is at times slow to answer, not to connect
HEADERS = {
    # Harvard's firewall has answered 403 to the default name of requests (IQSS/dataverse.harvard.edu#479).
    "User-Agent": "skinapp-download",
    # The offsets of Range count the bytes as sent, so they must be the bytes of the file.
    "Accept-Encoding": "identity",
}


class DownloadError(Exception):
    """One sentence that says what is wrong and what to do."""


def reason(error: Exception) -> str:
    """What an error says of itself, or at least its kind."""
    return str(error) or type(error).__name__
