"""Writes a trained network as a model folder that `skinapp.classifier` loads."""

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from skinapp.classifier import Configuration

LARGEST = 10_000_000  # bytes of a weights file: more needs LFS on a Space


def write_model(folder: Path, network: keras.Model, configuration: Configuration) -> None:
    """Write network.json, weights.npz (half precision) and config.json with their sha256.

    Raises ValueError where the weights need more than 10 MB.
    """
    (folder / "network.json").write_text(network.to_json(), encoding="utf-8")
    np.savez(folder / "weights.npz", **{v.path: v.numpy().astype(np.float16) for v in network.weights})
    size = (folder / "weights.npz").stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{folder / 'weights.npz'} has {size / 1e6:.1f} MB; a Space takes 10: use fewer filters."
        )
    sha256 = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("network.json", "weights.npz")
    }
    replace(configuration, sha256=sha256).write(folder)
