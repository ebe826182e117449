"""The exported folder: its files, its manifest, and the check of both.

onnx/model.onnx             encoder, pooling and head: input_ids and attention_mask [windows, tokens] -> logits
                            [windows, classes], scaled and shifted for calibrated scores, and, if there is
                            scope.npy, sentence_embedding [windows, hidden]
onnx/model_quantized.onnx   the same in 8-bit integers; optional
tokenizer.json              text -> token ids
schema.json                 the classes in order, and the task
decision.json               which tokens are read, and how logits become scores and decisions
scope.npy                   vectors of training documents, to detect out-of-scope documents; optional
reference.json              distributions of the test documents, for a service to detect drift; optional
golden.jsonl                inputs with the expected answers
config.json                 and tokenizer_config.json: for transformers.js; not if documents are read in windows
transformers/               the model as a stock classifier, for transformers.pipeline; optional
README.md                   the model card
manifest.json               SHA-256 and size of each file, parity certificates; written last
model.sig                   the signature of all files, including the manifest; optional

`python -m tagsmith.bundle verify FOLDER` checks a bundle.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, InputMissing, listing
from tagsmith.core.files import digest, json_object, read_json, write_json
from tagsmith.core.schema import Schema
from tagsmith.decision.rule import DecisionRule
from tagsmith.tokens.windows import WindowRule

FORMAT = 2
"""Version of the layout; earlier ones can be read (1: thresholds alone), later ones are refused."""

GRAPH, QUANTIZED, TOKENIZER, SCHEMA, DECISION, SCOPE, GOLDEN, CARD, MANIFEST, CONFIG, STOCK, REFERENCE, SIGNATURE = (
    "onnx/model.onnx",
    "onnx/model_quantized.onnx",
    "tokenizer.json",
    "schema.json",
    "decision.json",
    "scope.npy",
    "golden.jsonl",
    "README.md",
    "manifest.json",
    "config.json",
    "transformers",
    "reference.json",
    "model.sig",
)
EMBEDDING = "sentence_embedding"
"""The conventional name of this output; encoders have inner values named `embedding`."""

FILES = (GRAPH, TOKENIZER, SCHEMA, DECISION, CARD)
"""Files of every format; `GOLDEN` was added in format 2."""

SCHEMA_HASH = "tagsmith.schema_hash"
"""Key of the graph's metadata that holds the hash of its schema."""


@dataclass(frozen=True)
class Decision:
    """How documents become inputs of the graph, and logits become classes.

    Attributes:
        window_rule: which tokens are read; the logits and the vector of a document are means over its windows.
        pad_id: id of the padding token.
        rule: how logits become scores and decisions.
    """

    window_rule: WindowRule
    pad_id: int
    rule: DecisionRule

    def save(self, folder: Path) -> None:
        """Write `decision.json` and, if the rule has a scope, `scope.npy`."""
        encoding = {"window_rule": self.window_rule.as_dict(), "pad_id": self.pad_id, "window_pooling": "mean_logits"}
        write_json(folder / DECISION, encoding | self.rule.as_dict())
        if self.rule.scope is not None:
            self.rule.scope.save(folder / SCOPE)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> "Decision":
        """Read the files of `save`, in this format or an earlier one.

        Raises:
            DataError: a file is not valid, or does not match the schema.
        """
        path = folder / DECISION
        content, window_rule, pad_id = read_json(
            path,
            lambda content: (content, WindowRule(**content["window_rule"]), content["pad_id"]),
            "window_rule, pad_id and thresholds",
            "export the run again",
        )
        return cls(window_rule, pad_id, DecisionRule.from_dict(content, schema, path, folder / SCOPE))


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Write `manifest.json` for the files in the folder; `about` holds further fields."""
    names = sorted(_present(folder))
    files = {
        name: {"sha256": found, "bytes": (folder / name).stat().st_size}
        for name, found in zip(names, _digests(folder, names), strict=True)
    }
    schema_hash = Schema.load(folder / SCHEMA).hash
    write_json(folder / MANIFEST, {"format": FORMAT, "schema_hash": schema_hash, "files": files, **about})


def check(folder: Path) -> dict[str, Any]:
    """Check that the files of a bundle are those that were exported; returns the manifest.

    Raises:
        InputMissing: there is no bundle.
        DataError: files are changed, missing or not in the manifest (all are listed), the schema differs, or the format
            is not supported.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(f"{folder}: is not a bundle (there is no {path}); scripts/export.py writes one.")
    manifest, stated, version = read_json(path, _parse_manifest, "a manifest", "export the run again")
    schema_hash = manifest.get("schema_hash")
    if version > FORMAT:
        raise DataError(f"{path}: expected format {FORMAT} or earlier, found {version}; upgrade tagsmith.")
    if version < 1:
        raise DataError(f"{path}: expected format 1 or later, found {version}; export the run again.")
    present = _present(folder)
    expected = {*FILES, *([GOLDEN] if version > 1 else [])}
    problems = [f"{name}: missing" for name in sorted((stated.keys() | expected) - present)]
    problems += [f"{name}: not in the manifest" for name in sorted(present - stated.keys())]
    both = sorted(stated.keys() & present)
    found = dict(zip(both, _digests(folder, both), strict=True))
    changed = [name for name in both if found[name] != stated[name]]
    problems += [f"{name}: changed, its SHA-256 differs from the manifest" for name in changed]
    if not problems and (hash_found := Schema.load(folder / SCHEMA).hash) != schema_hash:
        problems.append(f"{SCHEMA}: expected the hash {schema_hash}, as in the manifest, found {hash_found}")
    if problems:
        raise DataError(listing(f"{folder}: the bundle is not as it was exported; copy or export it again:", problems))
    return manifest


def _parse_manifest(content: Any) -> tuple[dict[str, Any], dict[str, str], int]:
    """The manifest, the SHA-256 of each file, and the version of the format."""
    stated = {name: str(entry["sha256"]) for name, entry in content["files"].items()}
    return json_object(content), stated, int(content["format"])


def hidden(name: Path) -> bool:
    """Whether a path inside a bundle is hidden, such as the files that file browsers and downloads leave."""
    return any(part.startswith(".") for part in name.parts)


def _present(folder: Path) -> set[str]:
    """The relative paths of all files in the folder except the manifest, the signature and hidden files."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {name.as_posix() for name in names if not hidden(name)} - {MANIFEST, SIGNATURE}


def _digests(folder: Path, names: Sequence[str]) -> list[str]:
    """SHA-256 of these files, in threads, since hashing releases the interpreter lock."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, (folder / name for name in names)))
