"""How documents become input of a classifier, and its scores become classes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.config.settings import LongDocuments, Pooling
from tagsmith.core.files import read_json
from tagsmith.tokens.windows import WindowRule

RESTORE_MODEL = "restore it from a backup of the run, or train again with overwrite=true"


@dataclass(frozen=True)
class EncodingSpec:
    """How documents become input of this classifier, and scores become classes; saved with the weights.

    Attributes:
        rule: which tokens are read.
        pad_id: id of the padding token.
        pooling: of token states.
        threshold: score from which a class is predicted (multi-label).
    """

    rule: WindowRule
    pad_id: int
    pooling: Pooling
    threshold: float

    def save(self, path: Path) -> None:
        content = {
            "window_rule": self.rule.as_dict(),
            "pad_id": self.pad_id,
            "pooling": self.pooling.value,
            "threshold": self.threshold,
        }
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "EncodingSpec":
        """Raises: DataError where the file is not what `save` writes."""
        return read_json(path, cls._parse, "window_rule, pad_id, pooling and threshold", RESTORE_MODEL)

    @classmethod
    def _parse(cls, content: Any) -> "EncodingSpec":
        rule = WindowRule(**content["window_rule"])
        spec = cls(rule, content["pad_id"], Pooling(content["pooling"]), content["threshold"])
        LongDocuments(rule.long_documents)
        sizes = (rule.max_tokens - 1, rule.overlap, rule.max_windows - 1, spec.pad_id)
        if {type(size) for size in sizes} != {int}:
            raise TypeError("numbers that are not whole")
        if min(sizes) < 0 or not 0 <= spec.threshold <= 1:
            raise ValueError("numbers out of range")
        return spec
