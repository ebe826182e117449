import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tagsmith.tokens.windows import EncodedDocuments, WindowRule, encode, encode_chunks, joined, special_tokens


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Words w0 to w99 have the ids 10 to 109; [CLS] is 1, [SEP] is 2, padding 0."""
    words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3} | {f"w{i}": 10 + i for i in range(100)}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_truncation(4)  # What files carry, and must not be obeyed.
    made.enable_padding(length=4)
    return made


def words(count: int) -> str:
    return " ".join(f"w{i}" for i in range(count))


def windows_of(encoded: EncodedDocuments, document: int) -> list[list[int]]:
    batch = encoded.batch(np.array([document]))
    return [ids[mask == 1].tolist() for ids, mask in zip(batch.inputs, batch.attention_mask, strict=True)]


def test_a_short_document_is_read_whole_whatever_the_tokenizer_file_says(tokenizer: Tokenizer) -> None:
    encoded = encode(tokenizer, [words(6)], WindowRule(8), 0)
    assert windows_of(encoded, 0) == [[1, 10, 11, 12, 13, 14, 15, 2]]
    assert encoded.unread.tolist() == [0]
    assert encoded.tokens.tolist() == [8]


@pytest.mark.parametrize(
    ("rule", "expected", "unread"),
    [
        (WindowRule(6, "head"), [[0, 1, 2, 3]], 6),
        (WindowRule(6, "head_tail"), [[0, 1, 8, 9]], 6),
        (WindowRule(7, "head_tail"), [[0, 1, 2, 8, 9]], 5),
        (WindowRule(6, "windows", overlap=2), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]], 0),
        (WindowRule(6, "windows", overlap=1), [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]], 0),
        (WindowRule(7, "windows", overlap=0), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], 0),
        (WindowRule(6, "windows", overlap=2, max_windows=2), [[0, 1, 2, 3], [6, 7, 8, 9]], 2),
        (WindowRule(6, "windows", overlap=2, max_windows=1), [[0, 1, 2, 3]], 6),
    ],
)
def test_ten_words_by_every_rule(
    tokenizer: Tokenizer, rule: WindowRule, expected: list[list[int]], unread: int
) -> None:
    encoded = encode(tokenizer, [words(10)], rule, 0)
    assert windows_of(encoded, 0) == [[1, *(10 + word for word in window), 2] for window in expected]
    assert encoded.unread.tolist() == [unread]
    assert encoded.tokens.tolist() == [12]
    assert encoded.windows.tolist() == [len(expected)]


def test_a_batch_pads_to_its_longest_window_and_knows_its_documents(tokenizer: Tokenizer) -> None:
    rule = WindowRule(6, "windows", overlap=0)
    encoded = encode(tokenizer, [words(1), words(7), words(2)], rule, 0)
    batch = encoded.batch(np.array([2, 1]))
    assert batch.inputs.tolist() == [
        [1, 10, 11, 2, 0, 0],
        [1, 10, 11, 12, 13, 2],
        [1, 13, 14, 15, 16, 2],
    ]
    assert batch.attention_mask.sum(axis=1).tolist() == [4, 6, 6]
    assert batch.document.tolist() == [0, 1, 1]
    assert batch.windows.tolist() == [1, 2]
    assert encoded.lengths.tolist() == [3, 6, 4]


def test_texts_beyond_one_chunk_keep_their_order(tokenizer: Tokenizer) -> None:
    texts = [words(1 + i % 5) for i in range(23)]
    encoded = EncodedDocuments(0, joined(encode_chunks(tokenizer, texts, WindowRule(8), size=4)))
    assert (encoded.lengths - 2).tolist() == [1 + i % 5 for i in range(23)]


def test_no_texts_and_an_empty_text(tokenizer: Tokenizer) -> None:
    assert len(encode(tokenizer, [], WindowRule(8), 0)) == 0
    assert windows_of(encode(tokenizer, [""], WindowRule(8), 0), 0) == [[1, 2]]


def test_special_tokens_may_be_on_one_side_only(tokenizer: Tokenizer) -> None:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert special_tokens(tokenizer) == ([1], [2])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    assert special_tokens(tokenizer) == ([], [2])
