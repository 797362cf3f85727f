"""`skinapp archive SOURCE --out FOLDER [--address CLUSTER] [--workers N] [--model MODEL]`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from skinapp import NOTICE
from skinapp.archive import ArchiveError
from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, files, model_folder

PART = 1024  # rows of a part file: what is in hand, and lost, when the command is killed


def main(arguments: Sequence[str] | None = None) -> int:
    """Score what has no row yet. Returns 0, 1 where a row has an error, 2 where nothing could be done, 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog="skinapp archive",
        epilog="example: skinapp archive photos.zip --out results.parquet",
        description=f"Class probabilities of an archive of photos, as Parquet. The same command again goes on where it was stopped. {NOTICE}",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, a ZIP, a CSV or Parquet list with a column path, or a URL (s3://, https://, zip://...::...)",
    )
    parser.add_argument("--out", type=_folder, required=True, metavar="FOLDER", help="where the results go")
    parser.add_argument("--address", help="of a Ray cluster, auto or HOST:PORT (default: this machine alone)")
    parser.add_argument("--workers", type=_positive, metavar="N", help="(default: one for two processors)")
    parser.add_argument(
        "--part", type=_positive, default=PART, metavar="ROWS", help="rows a part file (default: %(default)s)"
    )
    parser.add_argument(
        "--model",
        help="a name such as fast, a model folder, or hf://USER/NAME (default: SKINAPP_MODEL, else fast)",
    )
    options = parser.parse_args(arguments)
    if not all(map(find_spec, ("ray", "pyarrow", "fsspec"))):
        print(
            "Ray is not installed: install skinapp with the extra archive, skinapp[archive].", file=sys.stderr
        )
        return 2
    try:
        return _run(options)
    except (ArchiveError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # SIGTERM, too, while workers are at it
        print(f"\nStopped. The same command goes on with {options.out}.", file=sys.stderr)
        return 130


def _folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError("is to be a folder of this machine")
    return Path(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("is to be a whole number above 0")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    import pyarrow.parquet as pq
    from tqdm import tqdm

    from skinapp.archive.photos import absolute, list_photos
    from skinapp.archive.results import Job, Results
    from skinapp.archive.workers import engine, score, share

    model = files(model_folder(options.model) if options.model else default_model())
    job = Job(absolute(options.source), sha256(model["skinapp.json"]).hexdigest(), options.part)
    with closing(Results(options.out, job, list_photos(options.source))) as results:
        missing, total = results.missing(), len(results.photos)
        if missing:
            there = total - sum(map(len, missing))
            with engine(options.address) as machines:
                workers, processors = share(machines, options.workers)
                with tqdm(total=total, initial=there, unit=" photos") as progress:
                    for rows in score(results.photos, missing, job.source, model, workers, processors):
                        progress.update(results.add(rows))
        if results.missing():
            raise ArchiveError("Some photos were not scored: the same command goes on with them.")
    errors = total - pq.read_table(options.out, columns=["error"])["error"].null_count
    print(f"{options.out}: {total} rows, {errors} with an error. {NOTICE}")
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
