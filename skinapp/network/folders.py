"""Which model folders there are, without loading TensorFlow."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parents[2] / "model"
DEFAULT_MODEL = "fast"


class ModelError(RuntimeError):
    """A model folder that cannot be used; its text says what is wrong and what to do."""


def model_folders() -> dict[str, Path]:
    """The models to choose from, by name, the default first: that of SKINAPP_MODEL, then those in model/.

    Raises ModelError where SKINAPP_MODEL is no folder or the default model is missing.
    """
    shipped = {path.parent.name: path.parent for path in sorted(MODELS.glob("*/config.json"))}
    named = os.environ.get("SKINAPP_MODEL")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise ModelError(
                f"SKINAPP_MODEL names {named}, which is no folder: set it to a model folder or unset it."
            )
        name = folder.resolve().name
        shipped.pop(name, None)
        return {name: folder} | shipped
    if DEFAULT_MODEL not in shipped:
        raise ModelError(
            f"{MODELS / DEFAULT_MODEL} is missing: restore it, or name a model folder in SKINAPP_MODEL."
        )
    return {DEFAULT_MODEL: shipped.pop(DEFAULT_MODEL)} | shipped


def model_folder(named: str) -> Path:
    """The folder that a name on offer or a path means. Raises ModelError."""
    folders = model_folders()
    if named in folders:
        return folders[named]
    if Path(named).is_dir():
        return Path(named)
    raise ModelError(f"There is no model {named!r}: name a model folder, or one of {', '.join(folders)}.")


def title(folder: Path) -> str:
    """A model for people, with its figures where it brings some: "fast, 94 px (balanced accuracy .74, AUC .96)"."""
    size = _read(folder / "config.json").get("input_size")
    figures = _read(folder / "metrics.json").get("cross_fitted", {})
    shown = f"{folder.resolve().name}, {size} px"
    if figures.get("macro_auc") is None:
        return shown
    balanced, area = (f"{figures[key]:.2f}".removeprefix("0") for key in ("balanced_accuracy", "macro_auc"))
    return f"{shown} (balanced accuracy {balanced}, AUC {area})"


def sha256(folder: Path) -> str:
    """The sha256 of a model's weights as its configuration has it; empty where it cannot be read."""
    recorded = _read(folder / "config.json").get("sha256", {})
    return str(recorded.get("weights.npz", "")) if isinstance(recorded, dict) else ""


def checked(path: Path, sha256: str) -> bytes:
    """The bytes of a model's file. Raises ModelError where it is missing, or not the one that config.json was written for."""
    try:
        data = path.read_bytes()
    except OSError:
        raise ModelError(f"{path} is missing or cannot be read: restore it from the repository.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(
            f"{path} is not the file that config.json was written for (sha256 differs): restore both."
        )
    return data


def files(folder: Path) -> dict[str, bytes]:
    """All that a classifier is loaded from, by name: config.json and the files it names. Raises ModelError."""
    try:
        configuration = (folder / "config.json").read_bytes()
        named = {str(name): str(sha) for name, sha in json.loads(configuration)["sha256"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ModelError(f"{folder} is no model folder: it has no readable config.json.") from None
    if any(Path(name).name != name for name in named):
        raise ModelError(f"{folder}: config.json names files outside the folder.")
    return {"config.json": configuration} | {name: checked(folder / name, sha) for name, sha in named.items()}


def _read(path: Path) -> dict[str, Any]:
    """A JSON file, or nothing: a folder that cannot be read at all is refused when the model is loaded."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def default_model() -> Path:
    """The folder of the model that is used where none is named. Raises ModelError."""
    return next(iter(model_folders().values()))
