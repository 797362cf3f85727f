"""Is it a dermatoscopic photo at all? One Gaussian over what a middle layer says of dermatoscopic photos.

The score is the Mahalanobis distance of a photo's pooled features (Lee 2018, arXiv:1807.03888; here one
Gaussian for all classes). It tells dermatoscopic photos from everyday ones, and no more: lesions of an eighth
kind, plain skin under a dermatoscope and clinical close-ups that resemble dermatoscopic photos are not
recognised as such. How much of what passes stands in the model folder's dermatoscopic.csv, written by
`train/dermatoscopic.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = "dermatoscopic.npz"  # in the model folder


@dataclass(frozen=True)
class Gaussian:
    """mean: float32 (c,); whitening: float32 (c, c).

    (features - mean) @ whitening has unit covariance over the photos that it was fitted to.
    """

    mean: np.ndarray
    whitening: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How far from typical: the root mean square of the whitened features, 1 on average where fitted.

        features: float (N, c), one row a photo -> float64 (N,).
        """
        whitened = (np.asarray(features, np.float64) - self.mean) @ self.whitening.astype(np.float64)
        return np.sqrt(np.mean(whitened**2, axis=-1))

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
