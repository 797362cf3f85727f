"""The command line: `python -m skinapp PHOTO... [--json] [--overlay DIR] [--model MODEL]`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from skinapp import NOTICE
from skinapp.lesions import CODES
from skinapp.models import ModelError, default_model, model_folder
from skinapp.photo_files import READ_KINDS_IN_WORDS
from skinapp.preprocess import PhotoError


def main(arguments: Sequence[str] | None = None) -> int:
    """Read each photo and print a line for it. Returns 0, 1 where a photo failed, 2 where nothing could be read at all."""
    parser = argparse.ArgumentParser(
        prog="python -m skinapp", description=f"Class probabilities of photos. {NOTICE}"
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help=f"{READ_KINDS_IN_WORDS} files")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument(
        "--overlay", type=Path, metavar="DIR", help="write the saliency overlay of each photo there"
    )
    parser.add_argument(
        "--model", help="a name such as fast, or a model folder (default: SKINAPP_MODEL, else fast)"
    )
    options = parser.parse_args(arguments)
    try:
        folder = model_folder(options.model) if options.model else default_model()
        if options.overlay:
            options.overlay.mkdir(parents=True, exist_ok=True)
        from skinapp.classifier import (
            load,
        )  # here, so that --help and a wrong option answer without TensorFlow
        from skinapp.reading import read
        from skinapp.saliency import overlay

        classifier = load(folder)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(error, file=sys.stderr)
        return 2

    if not options.json:
        width = max(len(str(photo)) for photo in options.photos)
        print(f"{'photo':{width}}  top    " + "".join(f"{code:>8}" for code in CODES))
    failed = False
    for photo in options.photos:
        try:
            reading = read(photo, classifier)
            if options.overlay:
                overlay(reading.square, reading.saliency()).save(_free_name(options.overlay, photo.stem))
        except (PhotoError, OSError) as error:
            failed = True
            reason = str(error)
            print(
                json.dumps({"file": str(photo), "error": reason})
                if options.json
                else f"{photo!s:{width}}  {reason}"
            )
            continue
        if options.json:
            print(json.dumps({"file": str(photo)} | reading.as_json()), flush=True)
        else:
            shares = "".join(f"{share:8.1%}" for share in reading.prediction.probabilities)
            print(f"{photo!s:{width}}  {reading.top.code:5}  {shares}", flush=True)
    if not options.json:
        print(f"\nNetwork: {classifier.title}, sha256 {classifier.sha256}. {NOTICE}")
    return int(failed)


def _free_name(folder: Path, stem: str) -> Path:
    """A name in `folder` that is not taken: photos from two folders may be called alike."""
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


if __name__ == "__main__":
    sys.exit(main())
