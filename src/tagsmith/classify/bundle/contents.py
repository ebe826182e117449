"""The exported folder: what is in it, its manifest, how it is checked.

onnx/model.onnx             encoder, pooling and head: input_ids and attention_mask [windows, tokens] -> logits
                            [windows, classes], the scores' scale and shift among them, and, beside scope.npy,
                            sentence_embedding [windows, hidden]
onnx/model_quantized.onnx   the same in whole numbers of 8 bits; optional
tokenizer.json              text -> token ids
schema.json                 the classes in order, the task
decision.json               which tokens are read, how windows are pooled, how logits become scores and decisions
scope.npy                   vectors of training documents, to tell documents of none of the classes; optional
reference.json              what the test documents looked like, for a service to compare; optional
golden.jsonl                inputs with the answers that are expected
config.json                 and tokenizer_config.json: what transformers.js has to know; not where windows are read
transformers/               the same as a stock classifier, for transformers.pipeline; optional
README.md                   the model card
manifest.json               SHA-256 and size of each file, certificates of parity; written last
model.sig                   the signature of all files, the manifest among them; optional

`python -m tagsmith.bundle verify FOLDER` checks one.
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
"""Version of the layout; earlier ones are read (1: thresholds alone), a bundle of a later one is refused."""

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
"""What others call that output, too; encoders have inner values of the name `embedding`."""

FILES = (GRAPH, TOKENIZER, SCHEMA, DECISION, CARD)
"""What a bundle of every format has; `GOLDEN` came with format 2."""

SCHEMA_HASH = "tagsmith.schema_hash"
"""The graph's metadata that says which schema it was made for."""


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
        content, window_rule, pad_id = read_json(
            path,
            lambda content: (content, WindowRule(**content["window_rule"]), content["pad_id"]),
            "window_rule, pad_id and thresholds",
            "export the run again",
        )
        return cls(window_rule, pad_id, DecisionRule.from_dict(content, schema, path, folder / SCOPE))


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Write `manifest.json` over the files that lie in the folder; `about` says where the bundle comes from."""
    names = sorted(_present(folder))
    files = {
        name: {"sha256": found, "bytes": (folder / name).stat().st_size}
        for name, found in zip(names, _digests(folder, names), strict=True)
    }
    schema_hash = Schema.load(folder / SCHEMA).hash
    write_json(folder / MANIFEST, {"format": FORMAT, "schema_hash": schema_hash, "files": files, **about})


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle whose files are those that were exported.

    Raises:
        InputMissing: there is no bundle.
        DataError: a file is changed, missing or foreign (all are listed), the schema is another one, or the format is
            a later one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(f"{folder}: no bundle here (looked for {path}); scripts/export.py writes one.")
    manifest, stated, version = read_json(path, _parse_manifest, "a manifest", "export the run again")
    schema_hash = manifest.get("schema_hash")
    if version > FORMAT:
        raise DataError(f"{path}: format {version}; this version of tagsmith reads up to {FORMAT}; upgrade it.")
    if version < 1:
        raise DataError(f"{path}: format {version}; the first was 1; export the run again.")
    present = _present(folder)
    expected = {*FILES, *([GOLDEN] if version > 1 else [])}
    problems = [f"{name}: missing" for name in sorted((stated.keys() | expected) - present)]
    problems += [f"{name}: foreign, not in the manifest" for name in sorted(present - stated.keys())]
    both = sorted(stated.keys() & present)
    found = dict(zip(both, _digests(folder, both), strict=True))
    changed = [name for name in both if found[name] != stated[name]]
    problems += [f"{name}: changed, its SHA-256 is not the manifest's" for name in changed]
    if not problems and (hash_found := Schema.load(folder / SCHEMA).hash) != schema_hash:
        problems.append(f"{SCHEMA}: another one, its hash is {hash_found}, in the manifest {schema_hash}")
    if problems:
        raise DataError(
            listing(f"{folder}: not the bundle that was exported; copy it again, or export it anew:", problems)
        )
    return manifest


def _parse_manifest(content: Any) -> tuple[dict[str, Any], dict[str, str], int]:
    """The manifest, the SHA-256 of each file, and the version of the format."""
    stated = {name: str(entry["sha256"]) for name, entry in content["files"].items()}
    return json_object(content), stated, int(content["format"])


def hidden(name: Path) -> bool:
    """Whether a path inside a bundle is of a hidden file or folder: what a file browser or a download leaves there."""
    return any(part.startswith(".") for part in name.parts)


def _present(folder: Path) -> set[str]:
    """The files below the folder but the manifest, the signature and hidden ones, by their names from there."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {name.as_posix() for name in names if not hidden(name)} - {MANIFEST, SIGNATURE}


def _digests(folder: Path, names: Sequence[str]) -> list[str]:
    """SHA-256 of these files; hashing leaves other threads the interpreter."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, (folder / name for name in names)))
