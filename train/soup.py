"""Averages the weights of two models of one architecture: a specialist of one source and a generalist trained on from it.

    python -m train.soup --models model/fast runs/generalist --data DIR [DIR ...] --out runs/soup     # five minutes

The mean keeps what both know (WiSE-FT: Wortsman 2022, arXiv:2109.01903). The share of the second one is chosen on tune lesions, each
source weighing alike, by the log loss at each source's own class mix; `--share` takes one as given. BatchNorm statistics are
averaged, too. `train.finish` then fits what ships beside the weights.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import ModelError
from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import DatasetError, add_sources, load_photos, read_sources, split_lesions
from train.network.export import write_model
from train.probabilities.by_source import figures_by_source

SHARES = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0)  # of the second model


def averaged(models: Sequence[Classifier], share: float) -> list[np.ndarray]:
    """The weights of (1 - share) times the first model and share times the second. Raises ModelError for unlike networks."""
    first, second = (model.network for model in models)
    if [(v.path, v.shape) for v in first.weights] != [(v.path, v.shape) for v in second.weights]:
        raise ModelError(
            f"{models[0].folder} and {models[1].folder} are different networks: only like ones can be averaged."
        )
    return [
        (1 - share) * one + share * other
        for one, other in zip(first.get_weights(), second.get_weights(), strict=True)
    ]


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Average the weights of two models.")
    add_sources(parser)
    parser.add_argument("--models", type=Path, nargs=2, required=True, help="the two model folders")
    parser.add_argument("--share", type=float, help="of the second one (default: chosen on tune lesions)")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    options = parser.parse_args(arguments)
    models = [Classifier(folder) for folder in options.models]
    configuration = models[1].configuration
    if not np.allclose(models[0].configuration.prior, configuration.prior, atol=1e-4):
        raise ModelError("The two models presume different class mixes: their logits cannot be averaged.")
    records = read_sources(options.data, options.scc, options.smallest)
    split = split_lesions(records)
    held = [record for record in records if split[record.lesion_id] == "tune"]
    mixes = {record.source: np.zeros(len(CODES)) for record in records}
    for record in records:
        if split[record.lesion_id] == "train":
            mixes[record.source][CODES.index(record.dx)] += 1
    if not held:
        raise DatasetError("There are too few lesions: none of them is left for validation.")
    tune = load_photos(
        held, lambda photo: to_pixels(photo, configuration.input_size, configuration.resampling)
    )
    options.out.mkdir(parents=True, exist_ok=True)
    bare = replace(
        configuration,
        sha256={},
        dermatoscopic_layer="",
        temperature=1.0,
        tau=0.0,
        command=" ".join(["python -m train.soup", *(sys.argv[1:] if arguments is None else arguments)]),
    )
    losses = {}
    for share in [options.share] if options.share is not None else SHARES:
        models[1].network.trainable = False
        network = models[1].network.__class__.from_config(models[1].network.get_config())
        network.set_weights(averaged(models, share))
        write_model(options.out, network, bare)
        logits = Classifier(options.out).logits(tune.pictures) - np.log(configuration.prior)
        figures = figures_by_source(tune, logits, mixes)
        losses[share] = float(np.mean([own["log loss"] for own in figures.values()]))
        print(f"share {share:.2f}: mean log loss {losses[share]:.4f}")
        for name, own in figures.items():
            print(
                f"  {name:12}" + "  ".join(f"{figure} {value:.4f}" for figure, value in own.items()),
                flush=True,
            )
    best = min(losses, key=losses.__getitem__)
    network.set_weights(averaged(models, best))
    write_model(options.out, network, bare)
    print(f"{options.out}: share {best}")


if __name__ == "__main__":
    sys.exit(main())
