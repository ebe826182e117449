"""Encoder, pooling and head, built from the schema."""

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from tagsmith.errors import DataError, InputMissing, SettingsError, TryAgainLater
from tagsmith.files import written_beside
from tagsmith.schema import Task
from tagsmith.settings import DataSettings, ModelSettings, Pooling
from tagsmith.windows import WindowRule

transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]

DROPOUT_NAMES = {
    "attention": ("attention_probs_dropout_prob", "attention_dropout"),
    "hidden": ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout"),
}
"""How the encoders' own configurations spell the two dropouts."""


class TextClassifier(nn.Module):
    """A pretrained encoder, pooled and layer-normalised token states, and a linear head."""

    def __init__(self, encoder: Any, classes: int, pooling: Pooling):
        super().__init__()
        self.encoder: Any = encoder
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # Its weights would never be used, and a distributed run refuses such.
        self.pooling = pooling
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors of windows, float [windows, hidden], each with mean 0 and variance 1.

        Args:
            input_ids, attention_mask: int64 [windows, tokens].
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling is Pooling.cls:
            pooled = states[:, 0]
        else:
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        # A layer norm without affine parameters, so that a stock encoder with one more layer can express the model.
        return functional.layer_norm(pooled, pooled.shape[-1:], eps=1e-12)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of windows, float [windows, classes]."""
        logits: Tensor = self.head(self.features(input_ids, attention_mask))
        return logits


def mean_by_document(values: Tensor, document: Tensor, windows: Tensor) -> Tensor:
    """The mean over each document's windows, float [documents, n].

    Args:
        values: float [windows, n].
        document: int64 [windows], the document of each window.
        windows: int64 [documents], the number of windows of each document.
    """
    if len(values) == len(windows):
        return values
    sums = torch.zeros(len(windows), values.shape[1], dtype=values.dtype, device=values.device)
    return sums.index_add(0, document, values) / windows.unsqueeze(-1)


def document_losses(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """The loss of each document, float32 [documents].

    Args:
        logits: float [documents, classes].
        labels: single-label int64 [documents] (softmax, cross-entropy); multi-label float [documents, classes]
            (sigmoid, binary cross-entropy, mean over the classes).
    """
    if task is Task.single_label:
        return functional.cross_entropy(logits.float(), labels, reduction="none")
    return functional.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none").mean(dim=1)


@dataclass(frozen=True)
class Reading:
    """How documents become input of this classifier, and scores become classes; saved beside the weights.

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
    def load(cls, path: Path) -> "Reading":
        content = json.loads(path.read_text(encoding="utf-8"))
        rule = WindowRule(**content["window_rule"])
        return cls(rule, content["pad_id"], Pooling(content["pooling"]), content["threshold"])


def encoder_source(settings: ModelSettings) -> str:
    """A local folder, or a name on the hub: `path` goes before `package`, `package` before `name`.

    Raises:
        InputMissing: the local folder holds no encoder; or there is no package and no name.
        DataError: a file of the package is not the one that `sha256` names.
    """
    if settings.path is not None:
        folder = Path(settings.path).expanduser()
        if not (folder / "config.json").is_file():
            raise InputMissing(f"model.path={settings.path}: expected a folder with config.json, weights, tokenizer.")
        return str(folder)
    if settings.package is not None:
        name, _, rest = settings.package.partition("/")
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations)), rest)
            _check_digests(folder, settings.sha256 or {})
            return str(folder)
    if settings.name is None:
        raise InputMissing(f"model.package={settings.package}: not installed, and model.name is not set.")
    return settings.name


def _check_digests(folder: Path, digests: dict[str, str]) -> None:
    for name, expected in digests.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise DataError(f"{folder / name}: expected SHA-256 {expected}, found {found}; install the package anew.")


def load_pretrained(
    settings: ModelSettings, data: DataSettings, classes: int, threshold: float
) -> tuple[TextClassifier, Tokenizer, Reading]:
    """The encoder with its pretrained weights and a head of zeros.

    Raises:
        InputMissing: the encoder is neither on this machine nor can it be had from the hub.
        SettingsError: more tokens are asked for than the encoder reads.
    """
    source = encoder_source(settings)
    revision = settings.revision or "main"
    try:
        config = transformers.AutoConfig.from_pretrained(source, revision=revision)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        for kind, rate in (("attention", settings.attention_dropout), ("hidden", settings.hidden_dropout)):
            for name in DROPOUT_NAMES[kind]:
                if hasattr(config, name):
                    setattr(config, name, rate)
        encoder, loading = transformers.AutoModel.from_pretrained(
            source, revision=revision, config=config, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise InputMissing(f"The encoder {source} cannot be loaded: {error}") from error
    if missing := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise DataError(
            f"{source}: {len(missing)} weights of the encoder are missing, such as {missing[0]}; "
            "expected the folder of a pretrained encoder that fits its config.json."
        )
    rule = _window_rule(settings, data, _readable(config, tokenizer.model_max_length))
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    model = TextClassifier(encoder, classes, settings.pooling)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    return model, backend, Reading(rule, pad_id, settings.pooling, threshold)


def _readable(config: Any, tokenizer_limit: int) -> int:
    """Most tokens that the encoder has positions for."""
    positions: int = getattr(config, "max_position_embeddings", None) or tokenizer_limit
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= config.pad_token_id + 1  # These count positions from behind the padding token's id.
    return min(positions, tokenizer_limit)


def _window_rule(settings: ModelSettings, data: DataSettings, readable: int) -> WindowRule:
    wanted = data.max_tokens or min(settings.max_tokens or readable, readable)
    if wanted > readable:
        raise SettingsError(f"data.max_tokens: expected at most {readable}, what this encoder reads; found {wanted}.")
    overlap = min(data.window_overlap, wanted // 2)
    return WindowRule(wanted, data.long_documents.value, overlap, data.max_windows)


def freeze_embeddings(model: TextClassifier) -> None:
    """Keep the embeddings as they are: over half of a small encoder, and little data moves few of their rows."""
    embeddings = getattr(model.encoder, "embeddings", None) or model.encoder.get_input_embeddings()
    for parameter in embeddings.parameters():
        parameter.requires_grad_(False)


def save_architecture(folder: Path, model: TextClassifier, tokenizer: Tokenizer, reading: Reading) -> None:
    """Write all but the weights: `config.json`, `tokenizer.json`, `reading.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.config.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    reading.save(folder / "reading.json")


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights, whole or not at all.

    Raises:
        TryAgainLater: they cannot be written, such as on a full disk.
    """
    try:
        with written_beside(path) as beside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, beside)
    except (OSError, SafetensorError) as error:
        raise TryAgainLater(f"{path} cannot be written: {error}; mend that, then go on with resume=true.") from error


def load_weights(path: Path, model: TextClassifier) -> None:
    """Raises: DataError where the weights do not fit the model."""
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise DataError(f"{path} does not fit the schema or the encoder beside it: {error}") from error


def load_classifier(folder: Path, classes: int) -> tuple[TextClassifier, Tokenizer, Reading]:
    """Read what `save_architecture` and `save_weights` (as `model.safetensors`) wrote.

    Raises:
        InputMissing: the folder holds no trained weights.
        DataError: the weights do not fit.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputMissing(f"{weights} does not exist: training has not finished; go on with resume=true.")
    try:
        reading = Reading.load(folder / "reading.json")
        config = transformers.AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: reading.json or config.json is missing or damaged: {error!r}.") from error
    encoder: Any = transformers.AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    model = TextClassifier(encoder, classes, reading.pooling)
    load_weights(weights, model)
    return model, Tokenizer.from_file(str(folder / "tokenizer.json")), reading
