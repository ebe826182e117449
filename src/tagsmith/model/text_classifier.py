"""Encoder, pooling and head, built from the schema."""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from tagsmith.config.settings import DataSettings, ModelSettings, Pooling
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater, listing
from tagsmith.core.files import digest, in_package, written_beside
from tagsmith.model.packed import Packed, mean_by_group
from tagsmith.model.sharding import set_weights
from tagsmith.tokens.reading import RESTORE_MODEL, Reading
from tagsmith.tokens.windows import WindowRule

transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]

DROPOUT_NAMES = {
    "attention": ("attention_probs_dropout_prob", "attention_dropout"),
    "hidden": ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout"),
}
"""How the encoders' own configurations spell the two dropouts."""


class TextClassifier(nn.Module):
    """A pretrained encoder, pooled and layer-normalised token states, and a linear head.

    Attributes:
        packs: in the precision of training it may be given packed windows, see `packed`.
    """

    def __init__(self, encoder: Any, classes: int, pooling: Pooling):
        super().__init__()
        self.encoder: Any = encoder
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # Its weights would never be used, and a distributed run refuses such.
        self.pooling = pooling
        self.packs = False
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def token_states(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """What the encoder makes of tokens, float [windows, tokens, hidden]; arguments as of `features`."""
        return self._encoded(attention_mask, input_ids=inputs)

    def _encoded(self, attention_mask: Tensor | Packed, **inputs: Tensor) -> Tensor:
        if isinstance(attention_mask, Packed):
            about = attention_mask.arguments(first_position(self.encoder.config))
        else:
            about = {"attention_mask": attention_mask}
        return self.encoder(**inputs, **about).last_hidden_state  # type: ignore[no-any-return]

    def features(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Vectors of windows, float [windows, hidden], each with mean 0 and variance 1.

        Args:
            inputs: int64 [windows, tokens], token ids; or [1, tokens], where they are packed.
            attention_mask: int64 [windows, tokens]; or where the windows are packed.
        """
        states = self.token_states(inputs, attention_mask)
        if isinstance(attention_mask, Packed):
            if self.pooling is Pooling.cls:
                pooled = states[0].index_select(0, attention_mask.bounds[:-1])
            else:
                pooled = mean_by_group(states[0].float(), attention_mask.window, attention_mask.lengths)
        elif self.pooling is Pooling.cls:
            pooled = states[:, 0]
        else:
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        # A layer norm without affine parameters, so that a stock encoder with one more layer can express the model.
        return functional.layer_norm(pooled, pooled.shape[-1:], eps=1e-12)

    def logits_and_vectors(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Both side by side, float [windows, classes + hidden], for the price of one; arguments as of `features`."""
        vectors = self.features(inputs, attention_mask)
        return torch.cat([self.head(vectors), vectors], dim=1)

    def forward(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Logits of windows, float [windows, classes]; arguments as of `features`."""
        logits: Tensor = self.head(self.features(inputs, attention_mask))
        return logits


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
        raise DataError(
            listing(f"{folder}: not the encoder that model.sha256 names; install its package anew:", problems)
        )


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
    return min(positions - first_position(config), tokenizer_limit)


def first_position(config: Any) -> int:
    """The position of a window's first token."""
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return int(config.pad_token_id) + 1  # These count from behind the padding token's id.
    return 0


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
        set_weights(model, load_file(path), strict=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{path}: expected weights that fit the schema and the encoder of the run: {error}; "
            "restore it from a copy, or delete it and train it anew with resume=true."
        ) from error


def load_classifier(folder: Path, classes: int) -> tuple[TextClassifier, Tokenizer, Reading]:
    """Read what `save_architecture` and `save_weights` (as `model.safetensors`) wrote.

    Raises:
        InputMissing: the folder holds no trained weights.
        DataError: a file is damaged, or the weights do not fit.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputMissing(f"{weights} does not exist: training has not finished; go on with resume=true.")
    reading = Reading.load(folder / "reading.json")
    path = folder / "config.json"
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        encoder: Any = transformers.AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
        model = TextClassifier(encoder, classes, reading.pooling)
        path = folder / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # Wrong values end in any error, and tokenizers raises nothing narrower.
        raise DataError(f"{path}: expected what training wrote, found {error!r}; {RESTORE_MODEL}.") from error
    rows, most = encoder.get_input_embeddings().num_embeddings, reading.rule.max_tokens
    if reading.pad_id >= rows or _readable(config, most) < most:
        raise DataError(f"{folder}: reading.json and config.json do not fit each other; {RESTORE_MODEL}.")
    load_weights(weights, model)
    return model, tokenizer, reading
