"""The command line: `python -m skinapp PHOTO... [--json] [--csv FILE] [--overlay DIR] [--report DIR] [--model MODEL]`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import tee
from pathlib import Path

from skinapp import NOTICE
from skinapp.decision import SENSITIVITIES
from skinapp.lesions import CODES
from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, model_folder
from skinapp.output.rows import CsvTable, Row
from skinapp.photo.files import READ_KINDS_IN_WORDS
from skinapp.photo.sources import Source, gather, is_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Read each photo and print a line for it. Returns 0, 1 where a photo failed, 2 where it could not begin."""
    parser = argparse.ArgumentParser(
        prog="python -m skinapp", description=f"Class probabilities of photos. {NOTICE}"
    )
    parser.add_argument(
        "photos",
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help=f"{READ_KINDS_IN_WORDS} files, folders or ZIP archives of them",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")
    parser.add_argument(
        "--overlay", type=Path, metavar="DIR", help="write the saliency overlay of each photo there"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a one-page PDF report of each photo there"
    )
    parser.add_argument(
        "--model", help="a name such as fast, or a model folder (default: SKINAPP_MODEL, else fast)"
    )
    options = parser.parse_args(arguments)
    with ExitStack() as files:
        try:
            folder = model_folder(options.model) if options.model else default_model()
            for asked in filter(None, (options.overlay, options.report)):
                asked.mkdir(parents=True, exist_ok=True)
            table = None
            if options.csv:
                table = CsvTable(files.enter_context(options.csv.open("w", newline="", encoding="utf-8")))
            from skinapp.batch import (
                read_many,
            )  # here, so that --help and a wrong option answer without TensorFlow
            from skinapp.network.classifier import load
            from skinapp.network.saliency import overlay
            from skinapp.output.report import pdf

            classifier = load(folder)
        except (ModelError, OSError) as error:
            print(error, file=sys.stderr)
            return 2

        width = 0
        if not options.json:
            width = max((len(source.name) for source in _sources(options.photos)), default=0)
            print(f"{'photo':{width}}  top    " + "".join(f"{code:>8}" for code in CODES))
        failed = False
        sources, names = tee(_sources(options.photos))
        for source, result in zip(names, read_many(sources, classifier), strict=True):
            if not isinstance(result, str) and (options.overlay or options.report):
                try:
                    saliency, stem = result.saliency(), Path(source.name).stem
                    if options.overlay:
                        overlay(result.square, saliency).save(_free_name(options.overlay, stem, "png"))
                    if options.report:
                        page = pdf(result, saliency, SENSITIVITIES[1], "", datetime.now().astimezone())
                        _free_name(options.report, stem, "pdf").write_bytes(page)
                except OSError as error:
                    result = str(error)
            row = Row.of(source.name, result)
            failed |= bool(row.error)
            if table:
                table.write(row)
            if isinstance(result, str):
                print(
                    json.dumps({"file": row.name, "error": row.error})
                    if options.json
                    else f"{row.name:{width}}  {row.error}"
                )
            elif options.json:
                print(json.dumps({"file": row.name} | result.as_json()), flush=True)
            else:
                shares = "".join(f"{share:8.1%}" for share in row.probabilities)
                print(f"{row.name:{width}}  {row.top.code:5}  {shares}", flush=True)
        if not options.json:
            print(f"\nNetwork: {classifier.title}, sha256 {classifier.sha256}. {NOTICE}")
        return int(failed)


def _sources(paths: Sequence[Path]) -> Iterator[Source]:
    """The photos that the paths name; tables and texts, which lie beside photos, are none."""
    return gather(path for path in paths if not is_table(path.name))


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    """A name in `folder` that is not taken: photos from two folders may be called alike."""
    path, number = folder / f"{stem}.{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.{suffix}"
    return path


if __name__ == "__main__":
    sys.exit(main())
