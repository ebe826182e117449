"""Tokenising less of a document never changes what is read of it."""

import random
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tagsmith.tokens.truncation import CHARACTERS, ids_as_read
from tagsmith.tokens.windows import WindowRule, encode

PIECES = ["the", "cat", "##s", "##e", "a", "b", "##a", "##b", "e", "s", ",", ".", "中", "文", "##", "i", "##i"]
NASTY = [*"abesi,.中文ÉéİßΣς", " ", " ", " ", "\n", "\t", "\u00a0", "\u3000", "\u200b", "\x00", "\u0301", "\u0327",
         "\ufeff", "the", "cats", "[SEP]", "[PAD]", "a" * 101, "🙂"]  # fmt: skip


def bert(*added: str) -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate([*special, *PIECES])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([*special, *added])
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def documents(seed: int) -> list[str]:
    """From nothing to many times what is read: words, and whatever a text can hold."""
    draw = random.Random(seed)
    texts = []
    for _ in range(300):
        parts = draw.choice([NASTY, ["the", "cats", " "], [" ", "\n", "\x00", "a"], ["中", "文", "\u0301"]])
        texts.append("".join(draw.choices(parts, k=int(10 ** draw.uniform(0, 3)))))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["head", "head_tail"])
@pytest.mark.parametrize("max_tokens", [3, 4, 9, 16])
def test_the_same_tokens_are_read(rule: str, max_tokens: int) -> None:
    tokenizer = bert()
    window_rule = WindowRule(max_tokens, rule)
    for seed in range(3):
        texts = documents(seed)
        whole = encode(tokenizer, texts, window_rule, 0)
        as_read = encode(tokenizer, texts, window_rule, 0, ids_as_read(tokenizer, window_rule))
        np.testing.assert_array_equal(as_read.ids, whole.ids)
        np.testing.assert_array_equal(as_read.window_lengths, whole.window_lengths)
        np.testing.assert_array_equal(as_read.unread > 0, whole.unread > 0)


def test_most_of_a_long_document_is_not_tokenised() -> None:
    tokenizer, rule = bert(), WindowRule(10, "head_tail")
    text = "the cats " * 10_000
    # 8 places for tokens: 4 and 4, and one that shows that there are more.
    assert [len(ids) for ids in ids_as_read(tokenizer, rule)([text])] == [9]
    assert ids_as_read(tokenizer, replace(rule, long_documents="head"))([text]) == [[4, 5, 6] * 3]
    assert len(ids_as_read(tokenizer, replace(rule, long_documents="windows"))([text])[0]) == 30_000


def test_a_tokenizer_that_may_look_across_white_space_reads_the_whole_text() -> None:
    rule = WindowRule(10, "head")
    text = "the cats " * 100
    assert len(text) > 2 * CHARACTERS * 9
    across = bert("the cats the")
    assert len(ids_as_read(across, rule)([text])[0]) > 9
    other = bert()
    other.pre_tokenizer = pre_tokenizers.Metaspace()
    assert ids_as_read(other, rule)([text])[0] == other.encode(text, add_special_tokens=False).ids
