"""Tagged documents from a Hugging Face data set: by name from the hub, a copy of one, or saved with `save_to_disk`."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tagsmith.config.settings import HubSettings
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.files import locate
from tagsmith.data.documents import Source, SourceRow
from tagsmith.data.labels import cell_of_columns, columns_of_bits, matching_columns, remedy_of_columns, vector_length

if TYPE_CHECKING:
    import datasets

PEEKED = 200
"""Rows that show which columns hold 0 and 1."""


def read(settings: HubSettings, untagged: bool = False) -> Source:
    """Read the data set; its label column declares the classes and the task.

    Args:
        untagged: whether the data set may lack the label column.

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
    if untagged and settings.label_field not in parts[settings.train_split].features:
        settings = replace(settings, label_columns=[])
    named = {"train": settings.train_split, "validation": settings.validation_split, "test": settings.test_split}
    for split, name in named.items():
        if name in parts:
            _read_split(parts[name], name, None if split == "train" else split, settings, source)
    source.read_labels(settings.classes or source.classes)
    return source


def _load(settings: HubSettings) -> dict[str, "datasets.Dataset"]:
    # Imported here, so that reading files does not wait for it.
    import datasets

    from tagsmith.data.dataset_folders import DAMAGED

    if settings.path is None:
        assert settings.name is not None  # The settings have been validated.
        try:
            loaded = datasets.load_dataset(settings.name, settings.subset, revision=settings.revision)
        except DAMAGED as error:
            raise InputMissing(f"data.name={settings.name}: {error}") from error
    else:
        folder = locate(settings.path, "data.path")
        if not folder.is_dir():
            raise DataError(
                f"data.path={folder}: expected the folder of a data set, found a file; data=auto data.train={folder} "
                "reads files."
            )
        saved = any((folder / name).exists() for name in ("state.json", "dataset_dict.json"))
        try:
            loaded = (
                datasets.load_from_disk(str(folder)) if saved else datasets.load_dataset(str(folder), settings.subset)
            )
        except DAMAGED as error:
            raise DataError(
                f"{folder}: expected a folder that save_to_disk wrote, or a copy of a data set of the hub: {error}"
            ) from error
    return dict(loaded) if isinstance(loaded, dict) else {settings.train_split: loaded}


def _read_split(part: "datasets.Dataset", name: str, split: str | None, settings: HubSettings, source: Source) -> None:
    if any(isinstance(feature, dict) for feature in part.features.values()):
        part = part.flatten()  # {"data": {"text": ...}} becomes the column data.text.
    texts = names(settings.text_field)
    labels = [] if settings.label_columns is not None else [settings.label_field]
    if missing := [column for column in (*texts, *labels) if column not in part.features]:
        remedy = "Set data.text_field and data.label_field"
        if settings.label_field in missing:
            rows = part.select(range(min(PEEKED, len(part)))).to_list()
            remedy = "; ".join(filter(None, (remedy, remedy_of_columns(columns_of_bits(rows)))))
        raise DataError(
            f"split {name}: missing the columns {', '.join(missing)}; found {', '.join(part.features)}. {remedy}."
        )
    columns = matching_columns(settings.label_columns or labels, part.column_names, f"split {name}")
    decode = None if settings.label_columns is not None else _decoder(part, columns[0], source)
    file = settings.name or settings.path or ""
    optional = (settings.id_field, settings.language_field, settings.group_field)
    wanted = {*texts, *columns, *(name for name in optional if name in part.features)}
    part = part.select_columns([name for name in part.column_names if name in wanted])  # Other columns may hold images.
    for number, record in enumerate(part, 1):
        row = SourceRow(source, f"{file}[{name}]", number, record)
        if decode is None:
            cell = cell_of_columns(record, columns)
        else:
            try:
                cell = decode(record[columns[0]])
            except IndexError as error:
                row.problem(str(error))
                continue
        row.add(settings, cell, split)


def _decoder(part: "datasets.Dataset", column: str, source: Source) -> Callable[[Any], Any]:
    """What turns a value of the label column into a cell: class numbers into names; -1 into no label.

    Lists of the numbers 0 and 1, one for each class, stay as they are: `read_labels` reads them.
    """
    import datasets

    feature = part.features[column]
    many = isinstance(feature, datasets.List | datasets.LargeList)
    label = feature.feature if many else feature
    if not isinstance(label, datasets.ClassLabel):
        return lambda value: value
    if source.classes is None:
        source.classes = list(label.names)
    classes = label.names
    if many and vector_length(value or [] for value in part[column]) == len(classes):
        return lambda value: value

    def named(number: int | None) -> str | None:
        if number is None or number < 0:  # Data sets spell "no label" as -1, mostly in test splits.
            return None
        if number >= len(classes):
            raise IndexError(f"label {number} is out of range; the column has {len(classes)} classes")
        return str(classes[number])

    if many:
        return lambda value: [named(number) for number in value or [] if number is not None and number >= 0]
    return named
