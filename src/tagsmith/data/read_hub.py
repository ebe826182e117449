"""Tagged documents from a Hugging Face data set: by name from the hub, or a folder saved with `save_to_disk`."""

from typing import Any

import datasets

from tagsmith.config.settings import HubSettings
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data.dataset_folders import DAMAGED
from tagsmith.data.documents import Source, SourceRow
from tagsmith.rows.files import locate


def read(settings: HubSettings) -> Source:
    """Read the data set; its label column declares the classes and the task.

    Raises:
        InputMissing: the folder does not exist, or the hub has no such data set or cannot be reached.
        DataError: the folder holds no data set, or a split or column is missing.
    """
    parts = _load(settings)
    if settings.train_split not in parts:
        raise DataError(
            f"data.train_split={settings.train_split}: expected a split of the data set: {', '.join(parts)}."
        )
    source = Source()
    named = {"train": settings.train_split, "validation": settings.validation_split, "test": settings.test_split}
    for split, name in named.items():
        if name in parts:
            _read_split(parts[name], name, None if split == "train" else split, settings, source)
    return source


def _load(settings: HubSettings) -> dict[str, datasets.Dataset]:
    if settings.path is not None:
        folder = locate(settings.path, "data.path")
        try:
            loaded = datasets.load_from_disk(str(folder))
        except DAMAGED as error:
            raise DataError(f"{folder}: expected a folder that save_to_disk wrote: {error}") from error
    else:
        assert settings.name is not None  # The settings have been validated.
        try:
            loaded = datasets.load_dataset(settings.name, settings.subset, revision=settings.revision)
        except DAMAGED as error:
            raise InputMissing(f"data.name={settings.name}: {error}") from error
    return dict(loaded) if isinstance(loaded, dict) else {settings.train_split: loaded}


def _class_label(feature: Any) -> tuple[bool, datasets.ClassLabel | None]:
    """Whether the column holds lists, and its ClassLabel, if it has one."""
    many = isinstance(feature, datasets.List | datasets.LargeList)
    inner = feature.feature if many else feature
    return many, inner if isinstance(inner, datasets.ClassLabel) else None


def _read_split(part: datasets.Dataset, name: str, split: str | None, settings: HubSettings, source: Source) -> None:
    if missing := [field for field in (settings.text_field, settings.label_field) if field not in part.features]:
        raise DataError(
            f"split {name}: missing the columns {', '.join(missing)}; found {', '.join(part.features)}. "
            "Set data.text_field and data.label_field."
        )
    many, class_label = _class_label(part.features[settings.label_field])
    if source.task is None:
        source.task = Task.multi_label if many else Task.single_label
    if class_label is not None and source.classes is None:
        source.classes = list(class_label.names)
    file = settings.name or settings.path or ""
    optional = (settings.id_field, settings.language_field, settings.group_field)
    wanted = {settings.text_field, settings.label_field, *(name for name in optional if name in part.features)}
    part = part.select_columns([name for name in part.column_names if name in wanted])  # Other columns may hold images.
    for number, record in enumerate(part, 1):
        row = SourceRow(source, f"{file}[{name}]", number, record)
        value = record[settings.label_field]
        values = value if many else [value]
        # Data sets spell "no label" as -1, mostly in test splits.
        values = [item for item in values or [] if item is not None and not (class_label and item == -1)]
        if not many and isinstance(value, str) and not value.strip():
            values = []
        if class_label is not None:
            if beyond := [item for item in values if item >= class_label.num_classes]:
                row.problem(f"label {beyond[0]} is out of range; the column has {class_label.num_classes} classes")
                continue
            values = class_label.int2str(values)
        row.add(settings, values, split, None)
