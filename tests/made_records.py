"""Tagged rows that tests of the data room load, and the message that they end with."""

import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import OnBadRow, TableSettings
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Task
from tagsmith.data import TaggedData, load

Record = dict[str, Any]


def written(path: Path, records: list[Record]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def load_records(
    folder: Path, records: list[Record], task: Task | None = None, seed: int = 0, **settings: Any
) -> TaggedData:
    """Load these records as train.jsonl; nothing is drawn unless a share is set."""
    shares = {"test_share": 0.0, "validation_share": 0.0}
    return load(TableSettings(train=written(folder / "train.jsonl", records), **(shares | settings)), task, seed)


def records_of(labels: str, **fields: Any) -> list[Record]:
    return [{"text": f"text {i}", "label": name, **fields} for i, name in enumerate(labels)]


def problems_of(folder: Path, records: list[Record], task: Task | None = None, **settings: Any) -> list[str]:
    """The lines of the one message, without the folder."""
    with pytest.raises(DataError) as caught:
        load_records(folder, records, task, **({"on_bad_row": OnBadRow.error} | settings))
    return [line.removeprefix(f"  - {folder}/") for line in str(caught.value).splitlines()]
