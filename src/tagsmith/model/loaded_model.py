"""A classifier with its tokenizer, encoding and schema: built from a pretrained encoder, saved in a run, loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, normalizers
from torch import Tensor, nn

from tagsmith.config.settings import CacheSettings, DataSettings, ModelSettings
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater, listing
from tagsmith.core.files import atomic_path, digest, in_package
from tagsmith.core.schema import Schema
from tagsmith.model.sharding import set_weights
from tagsmith.model.text_classifier import TextClassifier, first_position
from tagsmith.tokens.cache import encode_cached
from tagsmith.tokens.encoding_spec import RESTORE_MODEL, EncodingSpec
from tagsmith.tokens.windows import EncodedDocuments, WindowRule, encode

transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]

DROPOUT_NAMES = {
    "attention": ("attention_probs_dropout_prob", "attention_dropout"),
    "hidden": ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout"),
}
"""The names of the two dropouts in the configurations of encoders."""


@dataclass(frozen=True)
class LoadedModel:
    """A classifier in memory, with all that turns texts into its input and its output into classes.

    Attributes:
        classifier: the network; moving it to a device or training it changes it in place.
        tokenizer: of its encoder.
        encoding: which tokens of a document it reads, and how.
        schema: its classes, in the order of its logits.
    """

    classifier: TextClassifier
    tokenizer: Tokenizer
    encoding: EncodingSpec
    schema: Schema

    def encode(self, texts: Sequence[str]) -> EncodedDocuments:
        return encode(self.tokenizer, texts, self.encoding.rule, self.encoding.pad_id)

    def encode_cached(self, cache: CacheSettings, what: str, texts: Sequence[str]) -> EncodedDocuments:
        """As `encode`, with the cache of tokens and a progress bar, which calls the texts `what`."""
        return encode_cached(cache, what, texts, self.tokenizer, self.encoding.rule, self.encoding.pad_id)


def encoder_source(settings: ModelSettings) -> str:
    """A local folder, or a name on the hub: `path` takes precedence over `package`, `package` over `name`.

    Raises:
        InputMissing: the local folder is not an encoder; or the package is not installed and there is no name.
        DataError: a file of the package has another digest than `sha256` says.
    """
    if settings.path is not None:
        folder = Path(settings.path).expanduser()
        if not (folder / "config.json").is_file():
            raise InputMissing(f"model.path={settings.path}: expected a folder with config.json, weights, tokenizer.")
        return str(folder)
    if settings.package is not None:
        packaged = in_package(settings.package)
        if packaged is not None:
            _check_digests(packaged, settings.sha256 or {})
            return str(packaged)
    if settings.name is None:
        raise InputMissing(f"model.package={settings.package}: not installed, and model.name is not set.")
    return settings.name


def _check_digests(folder: Path, digests: dict[str, str]) -> None:
    problems = []
    for name, expected in digests.items():
        found = digest(folder / name) if (folder / name).is_file() else "no such file"
        if found != expected:
            problems.append(f"{name}: expected SHA-256 {expected}, found {found}")
    if problems:
        raise DataError(listing(f"{folder}: not the encoder of model.sha256; reinstall its package:", problems))


def load_pretrained(settings: ModelSettings, data: DataSettings, schema: Schema, threshold: float) -> LoadedModel:
    """The encoder with its pretrained weights and a head of zeros.

    Raises:
        InputMissing: the encoder is not on this machine and cannot be downloaded from the hub.
        SettingsError: `data.max_tokens` is more than the encoder reads.
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
            "expected a pretrained encoder whose weights match its config.json."
        )
    rule = _window_rule(settings, data, _readable(config, tokenizer.model_max_length))
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    model = TextClassifier(encoder, len(schema.classes), settings.pooling)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    backend = with_prefix(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), settings.prefix)
    return LoadedModel(model, backend, EncodingSpec(rule, pad_id, settings.pooling, threshold), schema)


def with_prefix(tokenizer: Tokenizer, prefix: str) -> Tokenizer:
    """The tokenizer, to which each text begins with `prefix`; its file says so, whoever reads it."""
    if prefix:
        rest = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(prefix), *rest])
    return tokenizer


def _readable(config: Any, tokenizer_limit: int) -> int:
    """The largest number of tokens that the encoder has positions for."""
    positions: int = getattr(config, "max_position_embeddings", None) or tokenizer_limit
    return min(positions - first_position(config), tokenizer_limit)


def _window_rule(settings: ModelSettings, data: DataSettings, readable: int) -> WindowRule:
    wanted = data.max_tokens or min(settings.max_tokens or readable, readable)
    if wanted > readable:
        raise SettingsError(f"data.max_tokens: expected at most {readable}, the limit of this encoder; found {wanted}.")
    overlap = min(data.window_overlap, wanted // 2)
    return WindowRule(wanted, data.long_documents.value, overlap, data.max_windows)


def save_architecture(folder: Path, model: LoadedModel) -> None:
    """Write everything except the weights: `config.json`, `tokenizer.json`, `reading.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.classifier.encoder.config.save_pretrained(folder)
    model.tokenizer.save(str(folder / "tokenizer.json"))
    model.encoding.save(folder / "reading.json")


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights, completely or not at all.

    Raises:
        TryAgainLater: they cannot be written, such as on a full disk.
    """
    try:
        with atomic_path(path) as beside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, beside)
    except (OSError, SafetensorError) as error:
        raise TryAgainLater(f"{path} cannot be written: {error}; fix that, then resume with resume=true.") from error


def load_weights(path: Path, model: TextClassifier) -> None:
    """Set the model to the weights in a file. Raises: DataError if they do not fit the model."""
    try:
        set_weights(model, load_file(path), strict=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{path}: expected weights that fit the schema and the encoder of the run: {error}; "
            "restore it from a copy, or delete it and train it again with resume=true."
        ) from error


def load_trained(folder: Path, schema: Schema) -> LoadedModel:
    """Load what `save_architecture` and `save_weights` (as `model.safetensors`) wrote.

    Raises:
        InputMissing: the folder has no trained weights.
        DataError: a file is damaged, or the weights do not fit.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputMissing(f"{weights} does not exist: training is not finished; continue it with resume=true.")
    encoding = EncodingSpec.load(folder / "reading.json")
    path = folder / "config.json"
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        encoder: Any = transformers.AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
        model = TextClassifier(encoder, len(schema.classes), encoding.pooling)
        path = folder / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # Wrong values raise errors of any type; tokenizers raises only Exception.
        raise DataError(f"{path}: expected what training wrote, found {error!r}; {RESTORE_MODEL}.") from error
    rows, most = encoder.get_input_embeddings().num_embeddings, encoding.rule.max_tokens
    if encoding.pad_id >= rows or _readable(config, most) < most:
        raise DataError(f"{folder}: reading.json and config.json do not match; {RESTORE_MODEL}.")
    load_weights(weights, model)
    return LoadedModel(model, tokenizer, encoding, schema)
