"""Fits everything that ships beside the weights, in order, and measures it.

    python -m train.finish --data DIR [DIR ...] --model DIR     # a quarter of an hour with four sources

`train.fit` does this at the end of a run; `train.soup` leaves it to this command. Temperature, prior correction, sets and operating
points are fitted on tune lesions of all sources, each weighing alike; so is the check for dermatoscopic photos.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from skinapp.network import known_answer
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import Configuration
from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import PARTS, Dataset, add_sources, load_photos, read_sources, split_lesions
from train.dermatoscopic import fit_dermatoscopic
from train.probabilities.calibrate import calibrate_model
from train.report import write_report
from train.validation import write_validation


def finish(folder: Path, parts: Mapping[str, Dataset]) -> None:
    """Fit and measure all that rests on the weights in `folder`. parts: pictures at the network's size, by part of the split."""
    write_validation(folder, {part: parts[part] for part in ("tune", "report")})
    calibrate_model(folder)
    fit_dermatoscopic(folder, parts["train"], parts["tune"], parts["report"])
    known_answer.write(Classifier(folder))
    write_report(folder)


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        description="Fit and measure everything that rests on a model's weights."
    )
    add_sources(parser)
    parser.add_argument("--model", type=Path, required=True, help="the model folder")
    options = parser.parse_args(arguments)
    configuration = Configuration.read(options.model)
    records = read_sources(options.data, options.scc, options.smallest)
    dataset = load_photos(
        records, lambda photo: to_pixels(photo, configuration.input_size, configuration.resampling)
    )
    split = split_lesions(dataset.records)
    finish(options.model, {part: dataset.part(split, part) for part in PARTS})


if __name__ == "__main__":
    sys.exit(main())
