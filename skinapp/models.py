"""Which model folders there are, without loading TensorFlow."""

import os
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "model"
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


def default_model() -> Path:
    """The folder of the model that is used where none is named. Raises ModelError."""
    return next(iter(model_folders().values()))
