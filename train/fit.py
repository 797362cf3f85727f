"""Trains a network and writes a complete model folder.

    python -m train.fit --data DIR --out runs/mine                                        # EfficientNet-Lite0
    python -m train.fit --data DIR --network cnn --filters 32 64 128 256 --out runs/cnn

The Makefile has the commands of the shipped weights. Every epoch leaves `checkpoint.npz` in the output folder; `--resume` goes
on from it. Where TF_CONFIG names several machines, the same command on each of them trains one network on all; only the first
one reads and writes the output folder.
"""

import argparse
import csv
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

# Before TensorFlow, whose notes are not about training; of a worker's end it says in twenty lines what main says in one.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if "TF_CONFIG" in os.environ else "2")

import tensorflow as tf

from skinapp.lesions import CODES
from skinapp.network.configuration import FORMAT, Configuration, ModelError
from skinapp.photo.preprocess import RESAMPLING, to_pixels
from train.dataset import DatasetError, add_sources, load_photos, read_sources, split_lesions, write_split
from train.finish import finish
from train.network.architectures import LITE_SCALING, CnnSettings, EfficientNetLiteSettings
from train.network.augment import Augmentation
from train.network.export import check_size, write_model
from train.network.imagenet import WeightsError
from train.network.trainer import Epoch, Settings, Trainer, at_size
from train.network.workers import LOST, from_configuration
from train.probabilities.calibrate import COVERAGE

CHECKPOINT = "checkpoint.npz"
CHOICES: dict[str, tuple] = {
    "views": (1, 2, 4, 8),
    "resampling": tuple(RESAMPLING),
    "variant": tuple(LITE_SCALING),
}
NETWORKS = {"efficientnet-lite": EfficientNetLiteSettings, "cnn": CnnSettings}


def train(trainer: Trainer, out: Path) -> None:
    """Run all epochs that are left; the chief leaves a checkpoint and history.csv after each."""
    for epoch in _epochs_left(trainer):
        if not trainer.workers.chief:
            continue
        trainer.save(out / CHECKPOINT)
        _write_history(out / "history.csv", trainer.history)
        print(
            f"epoch {epoch.epoch:3d}  loss {epoch.loss:.4f}  tune, mean over sources: accuracy {epoch.tune_accuracy:.4f}  "
            f"balanced accuracy {epoch.tune_balanced_accuracy:.4f}  macro AUC {epoch.tune_macro_auc:.4f}  "
            f"log loss {epoch.tune_log_loss:.4f}  "
            f"{epoch.images_per_second:.0f} images/s  {epoch.seconds:.0f} s",
            flush=True,
        )


def uncalibrated(trainer: Trainer, command: str) -> Configuration:
    """The finished network's configuration before calibration: temperature 1, tau 0."""
    settings = trainer.settings
    return Configuration(
        format=FORMAT,
        network=trainer.network.name.replace("_", "-"),
        settings=json.loads(json.dumps(asdict(settings))),
        input_size=settings.size,
        resampling=settings.resampling,
        classes=CODES,
        map_layer=trainer.map_layer,
        map_method="gradcam",
        views=settings.views,
        prior=tuple(round(float(share), 6) for share in trainer.prior),
        temperature=1.0,
        tau=0.0,
        set_coverage=COVERAGE,
        set_thresholds=(1.0,) * len(CODES),
        operating_points=(),
        dermatoscopic_layer="",
        dermatoscopic_threshold=0.0,
        withheld_threshold=0.0,
        sha256={},
        versions={"python": platform.python_version(), "tensorflow": tf.__version__}
        | {package: version(package) for package in ("keras", "numpy", "pillow")},
        command=command,
    )


def _epochs_left(trainer: Trainer) -> Iterator[Epoch]:
    while len(trainer.history) < trainer.settings.epochs:
        best = min(range(len(trainer.history)), key=lambda i: trainer.history[i].tune_log_loss, default=0)
        if len(trainer.history) - best > trainer.settings.patience:
            print(f"no lower log loss for {trainer.settings.patience} epochs: stopped early", flush=True)
            return
        yield trainer.run_epoch()


def _write_history(path: Path, history: list[Epoch]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Epoch)])
        writer.writerows([[round(getattr(epoch, f.name), 5) for f in fields(Epoch)] for epoch in history])


def parser() -> argparse.ArgumentParser:
    """The command line: every field of the settings is an option of the same name."""
    command = argparse.ArgumentParser(description="Train a network on HAM10000 or on images of your own.")
    add_sources(command)
    command.add_argument("--out", type=Path, help="the model folder to write (default runs/NETWORK)")
    command.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the output folder"
    )
    command.add_argument("--network", choices=NETWORKS, default="efficientnet-lite")
    taken = set()
    for group in (Settings, *NETWORKS.values(), Augmentation):
        for f in fields(group):
            default: Any = f.default
            if default is MISSING or f.name in taken:  # the parts of Settings; what both networks have
                continue
            taken.add(f.name)
            several = isinstance(default, tuple)
            how: dict[str, Any] = {
                "type": type(default[0]) if several and default else str if several else type(default)
            }
            if f.name in CHOICES:
                how["choices"] = CHOICES[f.name]
            if several:
                how["nargs"] = "+"
            elif isinstance(default, bool):
                how = {"action": argparse.BooleanOptionalAction}
            shown = " ".join(map(str, default)) if several else default
            command.add_argument(
                f"--{f.name.replace('_', '-')}", default=argparse.SUPPRESS, help=f"default {shown}", **how
            )
    return command


def settings_from(options: argparse.Namespace) -> Settings:
    """Settings with what the command line names, and defaults for the rest.

    Raises ValueError for an option of the other network.
    """
    own = {f.name for f in fields(NETWORKS[options.network])}
    foreign = {f.name for network in NETWORKS.values() for f in fields(network)} - own
    wrong = sorted(name for name in foreign if hasattr(options, name))
    if wrong:
        raise ValueError(f"The network {options.network} has no {', '.join(wrong)}: leave it out.")

    def filled(group: type, **more: Any) -> Any:
        named = {f.name: getattr(options, f.name) for f in fields(group) if hasattr(options, f.name)}
        tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
        return group(**(tuples | more))

    return filled(Settings, network=filled(NETWORKS[options.network]), augmentation=filled(Augmentation))


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    out = options.out or Path("runs") / options.network
    try:
        settings = settings_from(options)
        workers = from_configuration(os.environ.get("TF_CONFIG", ""))
        if workers.chief:
            out.mkdir(parents=True, exist_ok=True)
            if (out / CHECKPOINT).exists() and not options.resume:
                raise ValueError(f"{out} holds the checkpoint of a run: add --resume, or use another --out.")
        dataset = load_photos(
            read_sources(options.data, options.scc, options.smallest),
            lambda image: to_pixels(image, settings.intermediate, settings.resampling),
        )
        split = split_lesions(dataset.records)
        if workers.chief:
            write_split(out / "split.csv", dataset.records, split)
        seen = {part: at_size(dataset.part(split, part), settings) for part in ("tune", "report")}
        trainer = Trainer(settings, dataset.part(split, "train"), seen["tune"], workers)
        check_size(trainer.network)
        if trainer.restore(out / CHECKPOINT):
            print(f"resumed after epoch {len(trainer.history)}", flush=True)
        train(trainer, out)
        if not workers.chief:
            return 0
        command = " ".join(["python -m train.fit", *(a for a in arguments if a != "--resume")])
        write_model(out, trainer.finished_network(), uncalibrated(trainer, command))
        finish(out, {"train": at_size(dataset.part(split, "train"), settings)} | seen)
    except LOST:
        print(
            "Another worker has ended or is out of reach, which ends this one: start all again with --resume.",
            file=sys.stderr,
        )
        return 1
    except (DatasetError, WeightsError, ModelError, ValueError, BadZipFile, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
