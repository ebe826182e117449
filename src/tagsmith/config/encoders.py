"""Encoders by the names that `model=` has for them, where a setting names several."""

from pathlib import Path

import yaml

from tagsmith.config.settings import ModelSettings, Pooling
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import shipped_folder


def model_named(name: str) -> ModelSettings:
    """The settings in `configs/model/NAME.yaml`; `NAME:FOLDER` has the files of the encoder in a folder.

    Raises:
        SettingsError: there is no such YAML.
    """
    choice, _, folder = name.partition(":")
    known = {path.stem: path for path in Path(shipped_folder("configs"), "model").glob("*.yaml")}
    if choice not in known:
        raise SettingsError(f"{name}: expected an encoder, or NAME:FOLDER, of {', '.join(sorted(known))}.")
    content = yaml.safe_load(known[choice].read_text(encoding="utf-8"))
    del content["defaults"]
    return ModelSettings(**content | {"pooling": Pooling(content["pooling"])} | ({"path": folder} if folder else {}))
