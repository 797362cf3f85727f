"""Sends every file of a folder through the decoder, and through a running app: `python -m tests.corpus FOLDER [--app URL]`.

Counts what is read, refused in one sentence, slow (over 5 s) or worse, and states the longest time and the memory. Made for
Pillow's test images (Tests/images of its source distribution), pydicom's (pydicom.data) and whatever fuzzers have found.
Exit status 1 where a file gets neither a result nor one sentence, or too late.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from skinapp.photo.preprocess import PhotoError, open_photo

SLOW = 5.0  # seconds


def main() -> int:
    """Returns 0 where every file is answered in time, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--app", metavar="URL", help="a running app; its /classify gets the same files")
    parser.add_argument("--refusals", action="store_true", help="print the sentence that each file got")
    options = parser.parse_args()
    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    good = _run("open_photo", files, _decode, options.refusals)
    print(
        f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most, {_resident():.0f} MB now"
    )
    if options.app:
        from gradio_client import Client

        client = Client(options.app, verbose=False)
        good &= _run("/classify", files, lambda path: _classify(client, path), options.refusals)
    return int(not good)


def _decode(path: Path) -> str:
    """Empty for a photo that is read, else the refusal."""
    try:
        open_photo(path.read_bytes())
    except PhotoError as error:
        return str(error)
    return ""


def _classify(client: object, path: Path) -> str:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    try:
        client.predict(handle_file(path), api_name="/classify")  # type: ignore[attr-defined]
    except AppError as error:
        return str(error)
    return ""


def _run(what: str, files: list[Path], answer: Callable[[Path], str], verbose: bool) -> bool:
    counts: Counter[str] = Counter()
    longest = (0.0, "")
    for path in files:
        started = time.perf_counter()
        try:
            sentence = answer(path)
            kind = "refused" if sentence else "read"
            if sentence and (not sentence.endswith(".") or "\n" in sentence or len(sentence) > 250):
                kind = "odd sentence"
        except Exception as error:  # noqa: BLE001  # this is what is being counted
            kind, sentence = "error", repr(error)
        seconds = time.perf_counter() - started
        longest = max(longest, (seconds, path.name))
        counts[kind] += 1
        counts["slow"] += seconds > SLOW
        if verbose or kind not in ("read", "refused"):
            print(f"{seconds:6.2f} s  {kind:8}  {path.name}  {sentence}")
    print(f"{what}: {len(files)} files, {dict(counts)}, longest {longest[0]:.2f} s ({longest[1]})")
    return not counts["slow"] and counts["read"] + counts["refused"] == len(files)


def _resident() -> float:
    """Megabytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit(main())
