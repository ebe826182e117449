"""The encoders of configs/model/: random weights of their architecture, with their kind of tokenizer."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel

from tagsmith.classify.classifier import Classifier
from tagsmith.config.encoders import model_named
from tagsmith.config.settings import ExportRun, Recipe, TrainRun
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train
from tests.conftest import FILLERS, TOPICS

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs" / "model"

ARCHITECTURES = {
    "minilm": ("bert", "wordpiece"),
    "leaf_mt": ("bert", "wordpiece"),
    "bge_small": ("bert", "wordpiece"),
    "bge_base": ("bert", "wordpiece"),
    "mpnet": ("mpnet", "wordpiece"),
    "deberta_v3": ("deberta-v2", "unigram"),
    "xlm_roberta": ("xlm-roberta", "unigram"),
    "multilingual_minilm": ("bert", "unigram"),
    "multilingual_e5_small": ("bert", "unigram"),
    "multilingual_e5_base": ("xlm-roberta", "unigram"),
    "modernbert": ("modernbert", "byte_bpe"),
    "gte_modernbert": ("modernbert", "byte_bpe"),
    "granite_small": ("modernbert", "byte_bpe"),
    "ettin_17m": ("modernbert", "byte_bpe"),
    "ettin_32m": ("modernbert", "byte_bpe"),
    "ettin_68m": ("modernbert", "byte_bpe"),
    "ettin_150m": ("modernbert", "byte_bpe"),
    "mmbert_small": ("modernbert", "space_bpe"),
    "mmbert_base": ("modernbert", "space_bpe"),
    "embeddinggemma": ("gemma3_text", "space_bpe"),
}
"""Of each YAML: the architecture, and the kind of tokenizer."""

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]


def make_tokenizer(folder: Path, kind: str) -> Tokenizer:
    """Train a small tokenizer of a kind on the words of the documents, and write it as transformers loads it."""
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    elif kind == "byte_bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL)
    words = [word for topic in TOPICS.values() for word in topic] + FILLERS
    tokenizer.train_from_iterator([f"query: {one} {other}" for one in words for other in FILLERS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return tokenizer


def make_encoder(folder: Path, kind: str, tokens: int) -> None:
    """Random weights of an architecture: one small layer, all else as published."""
    sizes = {"vocab_size": tokens, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0}
    about: dict[str, object] = {}
    if kind == "modernbert":
        about = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16}
    if kind == "gemma3_text":
        about = {"use_bidirectional_attention": True, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 16}
        about |= {"query_pre_attn_scalar": 8, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **sizes, **about)).save_pretrained(folder)


def test_every_yaml_names_its_architecture() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == ARCHITECTURES.keys()
    assert all(model_named(name).name for name in ARCHITECTURES)


# Each combination that test_export.py does not have: of architecture, tokenizer and prefix.
@pytest.mark.parametrize("name", ["multilingual_e5_small", "embeddinggemma"])
def test_an_encoder_trains_and_exports(
    name: str, settings: Callable[..., TrainRun], single_label_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    kind, of_tokens = ARCHITECTURES[name]
    plain = make_tokenizer(folder, of_tokens)
    make_encoder(folder, kind, plain.get_vocab_size())
    given = settings(single_label_file, epochs=1, validation_share=0.0, recipe=Recipe.finetune)
    given.model = replace(model_named(name), path=str(folder), max_tokens=32)
    run, _ = train(given)
    bundle = export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))  # Compares the scores of both.
    encoded = Classifier.load(bundle).encoded(["the cat near a saw"])
    assert encoded.ids.tolist() == plain.encode(f"{given.model.prefix}the cat near a saw").ids
