"""Which model folders there are, without loading TensorFlow."""

import hashlib
import json
import os
from pathlib import Path

from skinapp.network.configuration import FILE, Configuration, ModelError

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel holds the shipped models inside the package; in the repository they stand beside it.
MODELS = next(
    (found for found in (_PACKAGE / "model", _PACKAGE.parent / "model") if found.is_dir()), _PACKAGE / "model"
)
DEFAULT_MODEL = "fast"
HUB = "hf://"
HUB_FILES = (FILE, "network.json", "*.npz", "known_answer.json", "metrics.json")


def model_folders() -> dict[str, Path]:
    """The models to choose from, by name, the default first: that of SKINAPP_MODEL, then those in model/.

    Raises ModelError where SKINAPP_MODEL is no folder or the default model is missing.
    """
    shipped = {path.parent.name: path.parent for path in sorted(MODELS.glob(f"*/{FILE}"))}
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
    """The folder that a name on offer, a path or `hf://USER/NAME` means. Raises ModelError."""
    if named.startswith(HUB):
        return _from_hub(named)
    folders = model_folders()
    if named in folders:
        return folders[named]
    if Path(named).is_dir():
        return Path(named)
    raise ModelError(f"There is no model {named!r}: name a model folder, or one of {', '.join(folders)}.")


def _from_hub(named: str) -> Path:
    """Fetch a model folder from the Hugging Face hub, or take it from huggingface_hub's cache. named: hf://USER/NAME[@REVISION]."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = named.removeprefix(HUB).partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*HUB_FILES]))
    except HFValidationError:
        raise ModelError(f"{named} names no model of the hub: write hf://USER/NAME.") from None
    except LocalEntryNotFoundError:
        raise ModelError(
            f"{named} cannot be fetched: the hub cannot be reached. Try again, or name a folder."
        ) from None
    except (HfHubHTTPError, OSError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else error.strerror
        raise ModelError(f"{named} cannot be fetched from the hub ({status}): check its name.") from None
    if not (folder / FILE).is_file():
        raise ModelError(f"{named} is no model of skinapp: it has no {FILE}.")
    return folder


def title(folder: Path) -> str:
    """A model for people, with its figures where it brings some: "fast, 94 px (balanced accuracy .74, AUC .96)". Raises ModelError."""
    shown = f"{folder.resolve().name}, {Configuration.read(folder).input_size} px"
    try:
        figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["cross_fitted"]
        both = figures["balanced_accuracy"], figures["macro_auc"]
    except (OSError, ValueError, KeyError, TypeError):  # a model that nobody has measured
        return shown
    if None in both:
        return shown
    balanced, area = (f"{figure:.2f}".removeprefix("0") for figure in both)
    return f"{shown} (balanced accuracy {balanced}, AUC {area})"


def checked(path: Path, sha256: str) -> bytes:
    """The bytes of a model's file. Raises ModelError where it is missing, or not the one that the configuration was written for."""
    try:
        data = path.read_bytes()
    except OSError:
        raise ModelError(f"{path} is missing or cannot be read: restore it from the repository.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(
            f"{path} is not the file that {FILE} was written for (sha256 differs): restore both."
        )
    return data


def files(folder: Path) -> dict[str, bytes]:
    """All that a classifier is loaded from, by name: its configuration and the files that it names. Raises ModelError."""
    named = Configuration.read(folder).sha256
    return {FILE: (folder / FILE).read_bytes()} | {
        name: checked(folder / name, sha) for name, sha in named.items()
    }


def default_model() -> Path:
    """The folder of the model that is used where none is named. Raises ModelError."""
    return next(iter(model_folders().values()))
