"""The exported folder: what is in it, its manifest, how it is checked.

onnx/model.onnx   encoder, pooling and head: input_ids and attention_mask [windows, tokens] -> logits [windows, classes]
                  and, beside scope.npy, sentence_embedding [windows, hidden]
tokenizer.json    text -> token ids
schema.json       the classes in order, the task
decision.json     which tokens are read, how windows are pooled, how logits become scores and decisions
scope.npy         vectors of training documents, to tell documents of none of the classes; optional
README.md         the model card
manifest.json     SHA-256 and size of each file; written last
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.decision_rule import DecisionRule
from tagsmith.errors import DataError, InputMissing, listing
from tagsmith.files import digest, write_json
from tagsmith.schema import Schema
from tagsmith.windows import WindowRule

FORMAT = 2
"""Version of the layout; earlier ones are read (1: thresholds alone), a bundle of a later one is refused."""

GRAPH, TOKENIZER, SCHEMA, DECISION, SCOPE, CARD, MANIFEST = (
    "onnx/model.onnx",
    "tokenizer.json",
    "schema.json",
    "decision.json",
    "scope.npy",
    "README.md",
    "manifest.json",
)
EMBEDDING = "sentence_embedding"
"""What others call that output, too; encoders have inner values of the name `embedding`."""

FILES = (GRAPH, TOKENIZER, SCHEMA, DECISION, CARD)


@dataclass(frozen=True)
class Decision:
    """How documents become input of the graph, and logits become classes.

    Attributes:
        window_rule: which tokens are read; a document's logits and vector are the mean over its windows.
        pad_id: id of the padding token.
        rule: how logits become scores, and scores decisions.
    """

    window_rule: WindowRule
    pad_id: int
    rule: DecisionRule

    def save(self, folder: Path) -> None:
        """Write `decision.json` and, where the rule knows a scope, `scope.npy`."""
        reading = {"window_rule": self.window_rule.as_dict(), "pad_id": self.pad_id, "window_pooling": "mean_logits"}
        write_json(folder / DECISION, reading | self.rule.as_dict())
        if self.rule.scope is not None:
            self.rule.scope.save(folder / SCOPE)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> "Decision":
        """Read what `save` wrote, in this format or in an earlier one.

        Raises:
            DataError: it is no decision file, or it does not fit the schema.
        """
        path = folder / DECISION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            window_rule, pad_id = WindowRule(**content["window_rule"]), content["pad_id"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: expected window_rule, pad_id and thresholds: {error!r}.") from error
        return cls(window_rule, pad_id, DecisionRule.from_dict(content, schema, path, folder / SCOPE))


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Write `manifest.json` over the files that lie in the folder; `about` says where the bundle comes from."""
    names = [*FILES, *([SCOPE] if (folder / SCOPE).is_file() else [])]
    files = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    schema_hash = Schema.load(folder / SCHEMA).hash
    content = {"format": FORMAT, "schema_hash": schema_hash, "files": files, **about}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle whose files are those that were exported.

    Raises:
        InputMissing: there is no bundle.
        DataError: a file is changed, missing or foreign (all are listed), or the format is a later one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(f"{folder}: no bundle here (looked for {path}); scripts/export.py writes one.")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stated = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        version = int(manifest["format"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a manifest: {error!r}; export the run again.") from error
    if version > FORMAT:
        raise DataError(f"{path}: format {version}; this version of tagsmith reads up to {FORMAT}; upgrade it.")
    present = {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")
    } - {MANIFEST}
    problems = [f"{name}: missing" for name in sorted((stated.keys() | set(FILES)) - present)]
    problems += [f"{name}: foreign, not in the manifest" for name in sorted(present - stated.keys())]
    changed = [name for name in sorted(stated.keys() & present) if digest(folder / name) != stated[name]]
    problems += [f"{name}: changed, its SHA-256 is not the manifest's" for name in changed]
    if problems:
        raise DataError(listing(f"{folder}: not the bundle that was exported:", problems))
    return manifest
