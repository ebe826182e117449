"""Tagged documents from a Hugging Face data set: by name from the hub, or a folder saved with `save_to_disk`."""

from typing import Any

import datasets

from tagsmith.config.settings import HubSettings
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data.dataset_folders import DAMAGED
from tagsmith.data.documents import Document, Source, label_list, locate, optional_fields


def read(settings: HubSettings) -> Source:
    """Classes and task come from the features of the label column.

    Raises:
        InputMissing: no such folder, or the hub does not have the data set or cannot be reached.
        DataError: the folder holds no data set, or a split or column is missing.
    """
    parts = _load(settings)
    if settings.train_split not in parts:
        raise DataError(
            f"data.train_split={settings.train_split}: the data set has the splits {', '.join(parts)}; name one."
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
            raise DataError(f"{folder}: expected a folder saved with save_to_disk: {error}") from error
    else:
        assert settings.name is not None  # The settings have been validated.
        try:
            loaded = datasets.load_dataset(settings.name, settings.subset, revision=settings.revision)
        except DAMAGED as error:
            raise InputMissing(f"data.name={settings.name}: {error}") from error
    return dict(loaded) if isinstance(loaded, dict) else {settings.train_split: loaded}


def _class_label(feature: Any) -> tuple[bool, datasets.ClassLabel | None]:
    """Whether the column is a list, and the ClassLabel in it, if it is one."""
    many = isinstance(feature, datasets.List | datasets.LargeList)
    inner = feature.feature if many else feature
    return many, inner if isinstance(inner, datasets.ClassLabel) else None


def _read_split(part: datasets.Dataset, name: str, split: str | None, settings: HubSettings, source: Source) -> None:
    if missing := [field for field in (settings.text_field, settings.label_field) if field not in part.features]:
        raise DataError(
            f"split {name}: missing the columns {', '.join(missing)}; found {', '.join(part.features)}. "
            "Name them with data.text_field=, data.label_field=."
        )
    many, class_label = _class_label(part.features[settings.label_field])
    if source.task is None:
        source.task = Task.multi_label if many else Task.single_label
    if class_label is not None and source.classes is None:
        source.classes = list(class_label.names)
    file = settings.name or settings.path or ""
    optional = (settings.id_field, settings.language_field, settings.group_field)
    wanted = {settings.text_field, settings.label_field, *(name for name in optional if name in part.features)}
    part = part.select_columns([name for name in part.column_names if name in wanted])  # Decode no picture in vain.
    for number, record in enumerate(part, 1):
        value = record[settings.label_field]
        values = value if many else [value]
        # -1 is how data sets spell "no label", in test splits above all.
        values = [item for item in values or [] if item is not None and not (class_label and item == -1)]
        if not many and isinstance(value, str) and not value.strip():
            values = []
        if class_label is not None:
            if beyond := [item for item in values if item >= class_label.num_classes]:
                what = f"label {beyond[0]} is beyond the {class_label.num_classes} classes of the column"
                source.problem(f"{file}[{name}]", number, what, record)
                continue
            values = class_label.int2str(values)
        problems = len(source.problems)
        place = f"{file}[{name}]"
        labels = label_list(source, place, number, values, record)
        identity, language, group = optional_fields(record, place, number, settings, source)
        if labels is not None and len(source.problems) == problems:
            text = record[settings.text_field]
            source.documents.append(Document(place, number, text, labels, split, identity, language, group))
