"""Tagged documents from one folder per class, one text file per document (the format of BBC News)."""

from collections import Counter
from pathlib import Path

from tagsmith.config.settings import TextFoldersSettings
from tagsmith.core.errors import DataError, counted
from tagsmith.core.files import locate
from tagsmith.core.schema import Task, natural_order
from tagsmith.core.text import decode
from tagsmith.core.text_files import is_hidden, kinds_of, matching_files, visible_files
from tagsmith.data.documents import SPLIT_NAMES, Document, Source

UNTAGGED = {"unsup", "unsupervised", "unlabeled", "unlabelled", "untagged", "unannotated", "unclassified"}
"""Names of folders that hold documents without a class, in lower case without separators."""


def read(settings: TextFoldersSettings) -> Source:
    """Read `path/CLASS/*.txt`, or `path/SPLIT/CLASS/*.txt` where folders of `path` are named after splits."""
    root = locate(settings.path, "data.path")
    source = Source(task=Task.single_label)
    folders = _folders(root)
    if not folders:
        raise DataError(f"{root}: expected one folder per class, found no folders.")
    others = set(visible_files(root))
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if splits and (splits == folders or not any(_is_class(folder, settings.pattern) for folder in splits)):
        for folder in folders:
            if folder not in splits:
                source.notes.append(f"{folder}: left out, because {splits[0].name} beside it is a folder of a split.")
        for folder in splits:
            _read_classes(root, folder, SPLIT_NAMES[folder.name.lower()], settings, source, others)
    else:
        _read_classes(root, root, None, settings, source, others)
    shared = {name for name, count in Counter(d.id for d in source.documents).items() if count > 1}
    for document in source.documents:
        if document.id in shared:  # The splits may number their files independently.
            document.id = Path(document.file).relative_to(root).as_posix()
    if others:
        found = f"{counted(len(others), 'file')} that no class folder has as {settings.pattern}: {kinds_of(others)}"
        source.notes.append(f"{root}: left out {found}.")
    source.notes += _only_trained(source)
    return source


def _folders(root: Path) -> list[Path]:
    return [
        root / name for name in natural_order([p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p.name)])
    ]


def _is_class(folder: Path, pattern: str) -> bool:
    """Whether a folder with the name of a split is a class: it holds documents itself, or no folders of classes."""
    return bool(matching_files(folder, pattern)) or not _folders(folder)


def _read_classes(
    root: Path, folder: Path, split: str | None, settings: TextFoldersSettings, source: Source, others: set[Path]
) -> None:
    """Add the documents of all class folders in `folder`, and remove their files from `others`."""
    for class_folder in _folders(folder):
        name = class_folder.name.strip()
        found = matching_files(class_folder, settings.pattern)
        files = {path.relative_to(class_folder).as_posix(): path for path in found}
        others.difference_update(found)
        if not files:
            source.notes.append(f"{class_folder}: no file matches {settings.pattern}, so the class has no documents.")
        if means_untagged(name) and name not in (settings.classes or ()):
            left_out = f"left out {counted(len(files), 'document')}, because the folder's name means untagged"
            source.notes.append(f"{class_folder}: {left_out}; with {name} in data.classes it is a class.")
            continue
        for file_name in natural_order(files):
            path = files[file_name]
            raw = path.read_bytes()
            text = decode(raw, settings.encoding, settings.fallback_encoding)
            if text is None:
                what = (
                    f"cannot be decoded as {settings.encoding or 'utf-8'}; set data.encoding or data.fallback_encoding"
                )
                source.problem(str(path), 1, what, raw[:200])
                continue
            # The path without its split folder, so that the id stays the same when the document moves to another split.
            identity = path.relative_to(folder).as_posix()
            source.documents.append(Document(str(path), 1, text, [name], split, identity))


def means_untagged(name: str) -> bool:
    """Whether the name of a folder says that its documents have no class."""
    return "".join(letter for letter in name.lower() if letter.isalnum()) in UNTAGGED


def _only_trained(source: Source) -> list[str]:
    """A note for classes of the training folder which the test folder lacks."""
    counts = {split: Counter(d.labels[0] for d in source.documents if d.split == split) for split in ("train", "test")}
    lacking = [f"{name} ({number:,})" for name, number in counts["train"].items() if not counts["test"][name]]
    if not counts["test"] or not lacking:
        return []
    found = f"{counted(len(lacking), 'class')} with training documents, but no folder for testing: {', '.join(lacking)}"
    return [f"{found}. A folder that is no class can be removed, or deleted by data.schema_changes."]
