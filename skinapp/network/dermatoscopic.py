"""Is it a dermatoscopic photo at all? A Gaussian for each source of photos, over what a middle layer says of them.

The score is the Mahalanobis distance of a photo's pooled features (Lee 2018, arXiv:1807.03888; here one Gaussian for all
classes of a source) to the nearest source, in units of the distance within which that source's own photos lie. One Gaussian
for all sources would be so wide that everyday photos pass, too.

It tells dermatoscopic photos from everyday ones, and no more: lesions of an eighth kind, plain skin under a dermatoscope and
clinical close-ups that resemble dermatoscopic photos are not recognised as such. How much of what passes stands in the model
folder's dermatoscopic.csv, written by `train/dermatoscopic.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = "dermatoscopic.npz"  # in the model folder


@dataclass(frozen=True)
class Gaussian:
    """mean: float32 (S, c); whitening: float32 (S, c, c), of S sources.

    (features - mean) @ whitening has the same variance in all directions over the photos of the source.
    """

    mean: np.ndarray
    whitening: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How far from typical: the root mean square of the whitened features of the nearest source.

        features: float (N, c), one row a photo -> float64 (N,).
        """
        features = np.asarray(features, np.float64)
        distances = [
            np.sqrt(np.mean(((features - mean) @ whitening.astype(np.float64)) ** 2, axis=-1))
            for mean, whitening in zip(self.mean, self.whitening, strict=True)
        ]
        return np.min(distances, axis=0)

    @classmethod
    def read(cls, folder: Path) -> "Gaussian":
        """Read a model folder's. Raises OSError, ValueError or KeyError where the file is none."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return cls(arrays["mean"], arrays["whitening"])

    def write(self, folder: Path) -> None:
        """Write `folder`/dermatoscopic.npz."""
        np.savez_compressed(
            folder / FILE, mean=self.mean.astype(np.float32), whitening=self.whitening.astype(np.float32)
        )
