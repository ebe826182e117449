"""Tagged documents from one folder per class, one text file per document (the format of BBC News)."""

from collections import Counter
from pathlib import Path

from tagsmith.config.settings import TextFoldersSettings
from tagsmith.core.errors import DataError
from tagsmith.core.rows import decode
from tagsmith.core.schema import Task, natural_order
from tagsmith.data.documents import SPLIT_NAMES, Document, Source, locate


def read(settings: TextFoldersSettings) -> Source:
    """Read `path/CLASS/*.txt`, or `path/SPLIT/CLASS/*.txt` where every folder of `path` is named after a split."""
    root = locate(settings.path, "data.path")
    source = Source(task=Task.single_label)
    folders = _folders(root)
    if not folders:
        raise DataError(f"{root}: expected one folder per class, found no folders.")
    if all(folder.name.lower() in SPLIT_NAMES for folder in folders):
        for folder in folders:
            _read_classes(root, folder, SPLIT_NAMES[folder.name.lower()], settings, source)
    else:
        _read_classes(root, root, None, settings, source)
    shared = {name for name, count in Counter(d.id for d in source.documents).items() if count > 1}
    for document in source.documents:
        if document.id in shared:  # The splits may number their files independently.
            document.id = Path(document.file).relative_to(root).as_posix()
    return source


def _folders(root: Path) -> list[Path]:
    names = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))]
    return [root / name for name in natural_order(names)]


def _read_classes(root: Path, folder: Path, split: str | None, settings: TextFoldersSettings, source: Source) -> None:
    for class_folder in _folders(folder):
        found = (path for path in class_folder.glob(settings.pattern) if path.is_file())
        files = {path.relative_to(class_folder).as_posix(): path for path in found}
        if not files:
            source.notes.append(f"{class_folder}: no file matches {settings.pattern}, so the class has no documents.")
        for name in natural_order(files):
            path = files[name]
            raw = path.read_bytes()
            text = decode(raw, settings.encoding, settings.fallback_encoding)
            if text is None:
                what = f"cannot be decoded as {settings.encoding}; set data.encoding or data.fallback_encoding"
                source.problem(str(path), 1, what, raw[:200])
                continue
            # The path without its split folder, so that the id stays the same when the document moves to another split.
            identity = path.relative_to(folder).as_posix()
            source.documents.append(Document(str(path), 1, text, [class_folder.name.strip()], split, identity))
