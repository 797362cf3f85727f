"""The command `skinapp`: `read`, `serve`, `archive` and `evaluate`."""

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import tee
from pathlib import Path

from skinapp import NOTICE, __version__
from skinapp.decision import SENSITIVITIES
from skinapp.lesions import CODES
from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, model_folder
from skinapp.output.rows import CsvTable, Row
from skinapp.photo.files import READ_KINDS_IN_WORDS
from skinapp.photo.sources import Source, gather, is_table

MODEL_HELP = "a name such as fast, a model folder, or hf://USER/NAME of the Hugging Face hub (default: SKINAPP_MODEL, else fast)"
COMMANDS = {
    "read": "class probabilities of photos, with overlays and reports (the default)",
    "serve": "the page and the API in a browser",
    "archive": "large collections of photos, on one machine or several",
    "evaluate": "how good a model is on labelled photos",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of COMMANDS, `read` where none is named. Returns its exit status: 0, 1 where a photo failed, 2 where it could not begin.

    What the terminal's encoding lacks is printed as an escape. Where whoever reads the output has gone (`| head`), it ends with 1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at its end
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "--version"}:
        commands = "\n".join(f"  {name:10} {does}" for name, does in COMMANDS.items())
        parser = argparse.ArgumentParser(
            prog="skinapp",
            usage="skinapp [COMMAND] ... | skinapp PHOTO...",
            description=f"Class probabilities of dermatoscopic photos of skin lesions. {NOTICE}",
            epilog=f"commands (skinapp COMMAND --help says more):\n{commands}\n\nexample: skinapp lesion.jpg --report reports/",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--version", action="version", version=f"skinapp {__version__}")
        parser.parse_args(given)
        parser.print_help()
        return 2
    if given[0] not in COMMANDS:
        return read(given)
    name, *rest = given
    if name == "read":
        return read(rest)
    # Each is imported only where it is asked for: `read` needs neither Gradio nor Ray.
    if name == "serve":
        from skinapp.serve import main as serve

        return serve(rest)
    if name == "archive":
        from skinapp.archive.__main__ import main as archive

        return archive(rest)
    from skinapp.evaluate import main as evaluate

    return evaluate(rest)


def read(arguments: Sequence[str]) -> int:
    """Read each photo and print a line for it. Returns 0, 1 where a photo failed, 2 where it could not begin."""
    parser = argparse.ArgumentParser(
        prog="skinapp read",
        description=f"Class probabilities of photos. {NOTICE}",
        epilog="example: skinapp read photos/ --json --overlay maps/",
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
    parser.add_argument("--model", help=MODEL_HELP)
    options = parser.parse_args(arguments)
    with ExitStack() as files:
        try:
            folder = model_folder(options.model) if options.model else default_model()
            for asked in filter(None, (options.overlay, options.report)):
                asked.mkdir(parents=True, exist_ok=True)
            table = None
            if options.csv:
                table = CsvTable(files.enter_context(options.csv.open("w", newline="", encoding="utf-8")))
            # Here, so that --help and a wrong option answer without TensorFlow.
            from skinapp.batch import read_many
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
