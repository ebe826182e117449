"""The typed settings of every stage: each field owns its type, default, unit and range.

A YAML under `configs/` only composes these and names choices. Nothing here knows Hydra, so every room may
take its own section.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from tagsmith.schema import Task

REQUIRED = "???"
"""The default of a setting that has none: the person must give it."""


def setting(default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its explanation, its unit and the inclusive range of its value."""
    metadata = {"help": help, "unit": unit, "low": low, "high": high}
    return field(default=default, metadata=metadata)


class OnBadRow(Enum):
    """What to do with a row that cannot be used."""

    error = "error"
    skip = "skip"


class LongDocuments(Enum):
    """Which tokens of a document longer than a window are read."""

    head = "head"
    head_tail = "head_tail"
    windows = "windows"


class Pooling(Enum):
    """How token states become one vector."""

    mean = "mean"
    cls = "cls"


class Recipe(Enum):
    """How far training goes."""

    probe = "probe"
    finetune = "finetune"


class Precision(Enum):
    """Number formats of the forward pass."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class BestMetric(Enum):
    """Figures by which one validation is better than another."""

    macro_f1 = "macro_f1"
    micro_f1 = "micro_f1"
    accuracy = "accuracy"
    log_loss = "log_loss"


class Split(Enum):
    """The three splits."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass
class DataSettings:
    """What every source of tagged documents shares."""

    classes: list[str] | None = setting(
        None, "the classes in their order; null: those found in the data, in natural order"
    )
    on_bad_row: OnBadRow = setting(
        OnBadRow.error, "error: stop and list every bad row; skip: leave them out and write them to the run"
    )
    test_share: float = setting(0.2, "share of the documents drawn as test split where none is given", low=0, high=0.9)
    validation_share: float = setting(
        0.0,
        "share of the training documents drawn as validation split where none is given; 0: none",
        low=0,
        high=0.9,
    )
    split_from: str | None = setting(None, "an earlier run whose test and validation documents are used again")
    max_tokens: int | None = setting(
        None, "longest window that is read; null: what the model's settings say", unit="tokens", low=8
    )
    long_documents: LongDocuments = setting(
        LongDocuments.head,
        "a document longer than max_tokens: read its head, its head and tail, or overlapping windows of it",
    )
    window_overlap: int = setting(32, "shared by neighbouring windows", unit="tokens", low=0)
    max_windows: int = setting(8, "most windows read of one document, evenly spread", unit="windows", low=1)

    def problems(self) -> Iterator[str]:
        if self.classes is not None and len(set(self.classes)) < 2:
            yield f"classes: expected null or at least two different names, found {self.classes}"
        if self.max_tokens is not None and 2 * self.window_overlap > self.max_tokens:
            yield f"window_overlap: expected at most half of max_tokens={self.max_tokens}, found {self.window_overlap}"


@dataclass
class FileSettings(DataSettings):
    """What sources made of text files share."""

    encoding: str = setting("utf-8", "encoding of the files")
    fallback_encoding: str | None = setting(
        None, "tried on a row or file that is not in `encoding`; null: that is a bad row"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        for name in ("encoding", "fallback_encoding"):
            value = getattr(self, name)
            try:
                "".encode(value or "utf-8")
            except LookupError:
                yield f"{name}: expected an encoding that Python knows, such as utf-8 or cp1252, found {value!r}"


@dataclass
class TableSettings(FileSettings):
    """Files with a document a row."""

    train: str = setting(REQUIRED, "file of training documents")
    validation: str | None = setting(None, "file of validation documents; null: drawn by validation_share")
    test: str | None = setting(None, "file of test documents; null: drawn by test_share")
    text_field: str = setting("text", "field of the text")
    label_field: str = setting("label", "field of the class")
    id_field: str | None = setting("id", "field of the document's id, used where a row has it")
    language_field: str | None = setting("language", "field of the language, used where a row has it")
    group_field: str | None = setting(
        "group", "field of the group (an author, a thread), used where a row has it; a group is never split"
    )
    split_field: str | None = setting(None, "field that holds train, validation or test; null: none does")


@dataclass
class CsvSettings(TableSettings):
    """Comma- or tab-separated rows below a header line."""

    delimiter: str = setting(",", "character between two fields")
    label_delimiter: str | None = setting(
        None, "text between two classes in the label field; naming one makes the task multi_label"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if len(self.delimiter) != 1:
            yield f"delimiter: expected one character, found {self.delimiter!r}"
        if self.label_delimiter == "":
            yield "label_delimiter: expected null or at least one character, found an empty text"


@dataclass
class JsonlSettings(TableSettings):
    """One JSON object a line: `label` (single-label) or a list of `labels` (multi-label)."""

    labels_field: str = setting("labels", "field of the list of classes; its use makes the task multi_label")


@dataclass
class TextFoldersSettings(FileSettings):
    """One folder a class, one text file a document; split folders around the class folders where there are any."""

    path: str = setting(REQUIRED, "the folder; `package:NAME/sub/folder` names one inside an installed package")
    pattern: str = setting("*.txt", "which files are documents")


@dataclass
class AzureSettings(FileSettings):
    """A labels file of Azure custom text classification with its text files."""

    path: str = setting(REQUIRED, "the labels file (JSON)")
    texts: str | None = setting(None, "folder of the text files; null: the labels file's own")


@dataclass
class HubSettings(DataSettings):
    """A Hugging Face data set: from the hub by name, or a folder saved with `save_to_disk`."""

    name: str | None = setting(None, "name on the hub")
    subset: str | None = setting(None, "configuration of the hub's data set")
    revision: str | None = setting(None, "commit or tag on the hub")
    path: str | None = setting(None, "folder saved with save_to_disk")
    train_split: str = setting("train", "its split with the training documents")
    validation_split: str = setting("validation", "its split with the validation documents, used where it exists")
    test_split: str = setting("test", "its split with the test documents, used where it exists")
    text_field: str = setting("text", "column of the text")
    label_field: str = setting("label", "column of the class, or of the list of classes (multi_label)")
    id_field: str | None = setting("id", "column of the document's id, used where there is one")
    language_field: str | None = setting("language", "column of the language, used where there is one")
    group_field: str | None = setting("group", "column of the group, used where there is one")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (self.name is None) == (self.path is None):
            yield f"name, path: expected exactly one of them, found name={self.name} and path={self.path}"


@dataclass
class ModelSettings:
    """The pretrained encoder and how a document's vector is made of its token states."""

    name: str | None = setting(None, "the encoder's name on the hub")
    revision: str | None = setting(None, "commit or tag on the hub")
    package: str | None = setting(
        None, "installed package that holds the encoder, as NAME/folder; absent: the hub is asked"
    )
    sha256: dict[str, str] | None = setting(None, "SHA-256 of the package's files, by file name")
    path: str | None = setting(None, "local folder of the encoder; goes before package and name")
    pooling: Pooling = setting(Pooling.mean, "mean: of all token states; cls: the first token's state")
    max_tokens: int | None = setting(
        None, "longest input that suits the encoder; null: the most it can read", unit="tokens", low=8
    )
    attention_dropout: float = setting(
        0.0, "dropout of attention weights; 0 lets attention take its fast path", low=0, high=0.9
    )
    hidden_dropout: float = setting(0.1, "dropout of hidden states", low=0, high=0.9)

    def problems(self) -> Iterator[str]:
        if not (self.name or self.path or self.package):
            yield "name, path: expected the name of an encoder on the hub or a local folder, found neither"


@dataclass
class TrainSettings:
    """The recipe."""

    recipe: Recipe = setting(
        Recipe.finetune, "probe: logistic regression on the frozen encoder; finetune: go on from there with all weights"
    )
    probe_c: float = setting(10.0, "inverse regularisation of the regression, for features of unit norm", low=1e-6)
    epochs: int = setting(3, "passes over the training documents", unit="epochs", low=1)
    learning_rate: float = setting(1e-4, "peak learning rate of the encoder", low=0)
    head_learning_rate: float = setting(1e-3, "peak learning rate of the head", low=0)
    lr_warmup_fraction: float = setting(
        0.05, "share of training in which the rates rise from 0; they then fall linearly to 0", low=0, high=1
    )
    weight_decay: float = setting(0.01, "decoupled weight decay of matrices", low=0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0: never", low=0)
    batch_tokens: int = setting(
        1024, "size of a batch over all processes, one optimiser step", unit="tokens, padding included", low=16
    )
    micro_batch_tokens: int | None = setting(
        None,
        "most that one process takes at once, the rest is accumulated; null: all",
        unit="tokens, padding included",
        low=16,
    )
    freeze_embeddings: bool = setting(True, "keep the embedding table as it is")
    validate_every: int | None = setting(
        None, "validate and save a checkpoint; null: after each epoch", unit="steps", low=1
    )
    early_stopping_patience: int | None = setting(
        None, "stop after so many validations without a better one; null: never", unit="validations", low=1
    )
    best_metric: BestMetric = setting(
        BestMetric.macro_f1, "where there is a validation split, the weights best by this are kept"
    )
    keep_checkpoints: int = setting(2, "newest checkpoints kept while training", unit="checkpoints", low=1)
    mixed_precision: Precision = setting(Precision.fp32, "number format of the forward pass")
    cpu: bool = setting(False, "train on the CPU even where there is a GPU")
    log_every: int = setting(10, "write a line of figures", unit="steps", low=1)
    tensorboard: bool = setting(True, "write TensorBoard logs into the run")


@dataclass
class EvaluateSettings:
    """How scores become figures."""

    threshold: float = setting(0.5, "score from which a class is predicted (multi-label)", low=0, high=1)
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )


@dataclass
class TrainRun:
    """Settings of `scripts/train.py`."""

    run: str | None = setting(None, "folder of the run; null: a fresh one, runs/DATE_TIME_NAME")
    name: str = setting("run", "readable part of a fresh run's folder")
    seed: int = setting(0, "seed of splits, batches and dropout", low=0)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    resume: bool = setting(False, "go on with a run that was interrupted, from its last checkpoint")
    overwrite: bool = setting(False, "replace the run that the folder holds")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def problems(self) -> Iterator[str]:
        if self.resume and self.overwrite:
            yield "resume, overwrite: expected at most one of them, found both"


@dataclass
class EvaluateRun:
    """Settings of `scripts/evaluate.py`."""

    run: str = setting(REQUIRED, "folder of the run")
    split: Split | None = setting(None, "which documents; null: test, or validation where there is no test split")
    threshold: float | None = setting(
        None, "score from which a class is predicted (multi-label); null: the run's", low=0, high=1
    )
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even where there is a GPU")


@dataclass
class ExportRun:
    """Settings of `scripts/export.py`."""

    run: str = setting(REQUIRED, "folder of the run")
    bundle: str = setting(REQUIRED, "folder of the bundle to write")
    overwrite: bool = setting(False, "replace the bundle that the folder holds")
    batch_tokens: int = setting(
        2048, "most that is scored at once for the proof", unit="tokens, padding included", low=16
    )


@dataclass
class ClassifyRun:
    """Settings of `scripts/classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle")
    input: str = setting(REQUIRED, "a .jsonl, .csv or .tsv file, or a folder of .txt files")
    output: str = setting(REQUIRED, "the .jsonl file to write, a line for each input row, in its order")
    text_field: str = setting("text", "field of the text in a .jsonl, .csv or .tsv file")
    overwrite: bool = setting(False, "replace the output file where it exists")
    batch_documents: int = setting(1024, "read and sorted by length at once", unit="documents", low=1)

    def problems(self) -> Iterator[str]:
        if not self.output.endswith(".jsonl"):
            yield f"output: expected a name that ends in .jsonl, found {self.output}"


def walk(settings: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """Every leaf of nested settings as (dotted name, field, value), in order of declaration."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from walk(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item, value


def _range_problems(settings: Any) -> Iterator[str]:
    for name, item, value in walk(settings):
        low, high = item.metadata.get("low"), item.metadata.get("high")
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        # Written so that a NaN, which compares as false, is refused too.
        if not ((low is None or value >= low) and (high is None or value <= high) and abs(value) < float("inf")):
            bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
            wanted = " and ".join(bound for bound in bounds if bound) or "a finite number"
            unit = f" {item.metadata['unit']}" if item.metadata.get("unit") else ""
            yield f"{name}: expected {wanted}{unit}, found {value}"


def _own_problems(settings: Any, prefix: str = "") -> Iterator[str]:
    if hasattr(settings, "problems"):
        yield from (prefix + problem for problem in settings.problems())
    for item in fields(settings):
        if is_dataclass(value := getattr(settings, item.name)):
            yield from _own_problems(value, f"{prefix}{item.name}.")


def problems(settings: Any) -> list[str]:
    """Every value out of its range and every combination that cannot be, one line each."""
    return [*_range_problems(settings), *_own_problems(settings)]


def as_dict(settings: Any) -> dict[str, Any]:
    """All settings by dotted name, ready for JSON."""
    return {name: value.value if isinstance(value, Enum) else value for name, _, value in walk(settings)}


def default_of(item: Field[Any]) -> Any:
    """The default of a dataclass field."""
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else None
