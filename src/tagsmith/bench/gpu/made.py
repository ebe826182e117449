"""Encoders with random weights and texts made on the spot: what the checks of a GPU work on, without a network."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]

CLASSES = 8


@dataclass(frozen=True)
class Size:
    """The sizes of an encoder, as of `BertConfig`."""

    name: str
    hidden: int
    layers: int
    heads: int
    vocabulary: int = 30_522


ENCODERS = (Size("minilm", 384, 6, 12), Size("base", 768, 12, 12))
"""all-MiniLM-L6-v2 and BERT base."""

TINY = (Size("tiny", 32, 2, 4, 500),)
"""For a dry run on a CPU."""


def make_encoder(folder: Path, size: Size, max_tokens: int) -> Path:
    """Write an encoder with random weights and a tokenizer whose words are numbers."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=max(512, max_tokens) if size not in TINY else max_tokens,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    words = [*SPECIAL, *map(str, range(size.vocabulary - len(SPECIAL)))]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=max_tokens,
    ).save_pretrained(folder)
    return folder


def make_documents(path: Path, count: int, tokens: int, vocabulary: int, seed: int) -> Path:
    """Write documents of a quarter of `tokens` to `tokens` tokens as JSON Lines; some of the words show the class."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            label = i % CLASSES
            length = draw.randint(tokens // 4, tokens - len(SPECIAL[2:]))
            words = [draw.randrange(CLASSES * 4, vocabulary - len(SPECIAL)) for _ in range(length)]
            for place in range(0, length, 4):
                words[place] = label * 4 + draw.randrange(4)
            draw.shuffle(words)
            text = " ".join(map(str, words))
            file.write(json.dumps({"id": f"{seed}-{i}", "text": text, "label": f"class {label}"}) + "\n")
    return path
