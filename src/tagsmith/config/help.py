"""The text of `--help`."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from tagsmith.config.conversion import shown, type_name
from tagsmith.config.settings.fields import REQUIRED, default_of
from tagsmith.config.stages import SECTIONS, STAGES
from tagsmith.config.yaml_text import read_yaml


def explain(stage: str, configs: Path) -> str:
    """The text of `--help`: the choices and every setting of a stage with its type, default, unit and range.

    Defaults are those of the dataclasses and of `configs/STAGE.yaml`; `--cfg job` prints the values of a chosen YAML.
    """
    kind = STAGES[stage]
    primary = read_yaml((configs / f"{stage}.yaml").read_text(encoding="utf-8"))
    lines = [f"{command(stage, configs)} NAME=VALUE ..."]
    for part in _kinds(kind):
        lines += ["", *_explain_section(part, "", primary)]
    for item in fields(kind):
        if item.name in SECTIONS and is_dataclass(item.type):
            lines += ["", f"{item.name}={'|'.join(sorted(path.stem for path in (configs / item.name).glob('*.yaml')))}"]
        parts: list[type] = []
        for section in SECTIONS.get(item.name, {"": cast(type, item.type)}).values():
            parts += [part for part in _kinds(section) if part not in parts] if is_dataclass(item.type) else []
        for part in parts:
            lines += ["", *_explain_section(part, f"{item.name}.")]
            for row in fields(part):
                if is_dataclass(row.type):
                    lines += ["", *_explain_section(cast(type, row.type), f"{item.name}.{row.name}.")]
    lines += ["", "Every setting can be given as NAME=VALUE. --cfg job prints the composed settings."]
    return "\n".join(lines)


def command(stage: str, configs: Path) -> str:
    """How a user starts a script: the checkout has the file, a package from a wheel the command."""
    return f"tagsmith {stage}" if (configs.parent / "core").is_dir() else f"python scripts/{stage}.py"


def example(stage: str, configs: Path) -> str:
    """A complete command: the one in the first line of `configs/STAGE.yaml`, as the user starts the script."""
    first = (configs / f"{stage}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").replace(f"python scripts/{stage}.py", command(stage, configs))


def _kinds(kind: Any) -> list[type]:
    """A dataclass and those that it inherits from, the most general first."""
    return [base for base in reversed(kind.__mro__) if hasattr(base, "__dataclass_fields__")]


def _explain_section(kind: type, prefix: str, defaults: Mapping[str, Any] | None = None) -> list[str]:
    own = [row for row in fields(kind) if row.name in kind.__annotations__ and row.metadata]
    title = (inspect.getdoc(kind) or "").splitlines()[0]
    return [title, *(line for row in own for line in _explain_setting(prefix + row.name, row, defaults or {}))]


def _explain_setting(name: str, row: Any, defaults: Mapping[str, Any]) -> list[str]:
    meta, default = row.metadata, defaults.get(name, default_of(row))
    if isinstance(default, str):  # `DATA` is the choice of data=.
        default = re.sub(r"\$\{hydra:runtime\.choices\.(\w+)\}", lambda match: match[1].upper(), default)
    value = "required" if default == REQUIRED else f"default {_typed(default)}"
    low, high = meta["low"], meta["high"]
    bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    facts = [meta["help"], f"unit: {meta['unit']}" if meta["unit"] else "", " and ".join(filter(None, bounds))]
    return [f"  {name}  ({type_name(row.type)}; {value})", "      " + "; ".join(filter(None, facts))]


def _typed(value: Any) -> str:
    return repr(value) if value in ("", ",") else shown(value)
