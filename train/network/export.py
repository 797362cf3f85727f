"""Writes a trained network as a model folder that `skinapp.network.classifier` loads."""

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from skinapp.network.configuration import Configuration

LARGEST = 10_000_000  # bytes of a weights file: more needs LFS on a Space


def check_size(network: keras.Model) -> None:
    """Raises ValueError where the network's weights would need more than 10 MB on disk; best asked before training."""
    size = 2 * network.count_params()
    if size > 0.99 * LARGEST:  # the archive's own names and headers take the rest
        raise ValueError(f"The weights would take {size / 1e6:.1f} MB; a Space takes 10: use fewer filters.")


def write_model(folder: Path, network: keras.Model, configuration: Configuration) -> None:
    """Write network.json, weights.npz (half precision) and skinapp.json with their sha256. Raises ValueError as above."""
    check_size(network)
    (folder / "network.json").write_text(network.to_json(), encoding="utf-8")
    np.savez(folder / "weights.npz", **{v.path: v.numpy().astype(np.float16) for v in network.weights})
    sha256 = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("network.json", "weights.npz")
    }
    replace(configuration, sha256=sha256).write(folder)
