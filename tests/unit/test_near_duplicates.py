"""Near-duplicates: which pairs are found, and what follows from their splits and tags."""

import random
import string
import tracemalloc

import pytest

from tagsmith.data.check import folded_text
from tagsmith.evaluate.analysis import near_duplicates as module
from tagsmith.evaluate.analysis.near_duplicates import (
    Side,
    documents_to_compare,
    near_duplicates,
    similar_pairs,
    similarity,
)

WORDS = ["the", "card", "was", "declined", "twice", "at", "a", "shop", "today", "why", "money", "transfer", "late"]


def sentence(seed: int, words: int = 30) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) + str(draw.randint(0, 99)) for _ in range(words))


def test_similarity_by_hand() -> None:
    # abcdef: abcde bcdef; abcdex: abcde bcdex. One of three.
    assert similarity("abcdef", "abcdex") == pytest.approx(1 / 3)
    assert similarity("abc", "abc") == 1
    assert similarity("abc", "abd") == 0
    assert folded_text("  The\n CARD ") == "the card"


@pytest.mark.slow
def test_pairs_at_the_limit_are_found_and_others_are_not() -> None:
    texts = [sentence(i) for i in range(150)]
    changed = [text[:100] + "#" + text[101:110] + "##" + text[112:] for text in texts]
    limit = min(similarity(a, b) for a, b in zip(texts, changed, strict=True))
    assert 0.8 <= limit < 0.9
    found = {(i, j): s for i, j, s in similar_pairs([*texts, *changed], 0.8)}
    assert len(found.keys() & {(i, 150 + i) for i in range(150)}) >= 147
    assert all(s == similarity(texts[i], changed[j - 150]) for (i, j), s in found.items() if i < 150 <= j)
    assert not list(similar_pairs(texts, 0.8))


def test_splits_and_tags() -> None:
    text, other = sentence(0), sentence(1)
    documents = [
        Side("test", "t1", text + " please", ("a",)),
        Side("test", "t2", other, ("b",)),
        Side("test", "t3", other.upper(), ("b",)),
        Side("validation", "v1", text + " now", ("a",)),
        Side("train", "r1", text, ("c",)),
        Side("train", "r2", sentence(2), ("a",)),
        Side("train", "r3", text + "  PLEASE", ("a", "c")),
    ]
    found = near_duplicates(documents, 0.8)
    assert found["within"] == {"test": 2, "validation": 0, "train": 2}
    assert found["across_documents"] == {"test": 1, "validation": 1}
    # Of the validation document and two training documents, the training document with the very text.
    assert [(line["id"], line["other_id"], line["other_split"], line["similarity"]) for line in found["across"]] == [
        ("t1", "r3", "train", 1.0),
        ("v1", "r1", "train", round(similarity(folded_text(text), folded_text(text + " now")), 4)),
    ]
    pairs = [(line["id"], line["other_id"]) for line in found["differently_tagged"]]
    assert pairs[0] == ("t1", "r3")
    assert len(pairs) == found["differently_tagged_pairs"]
    assert ("t2", "t3") not in pairs
    assert found["differently_tagged"][0]["other_labels"] == ["a", "c"]


def test_nothing_in_common() -> None:
    documents = [Side("train", str(i), sentence(i), ("a",)) for i in range(20)]
    found = near_duplicates(documents, 0.8)
    assert found["within"] == {"train": 0}
    assert found["across"] == found["differently_tagged"] == []


@pytest.mark.slow
def test_texts_of_one_template_have_a_bounded_number_of_candidates() -> None:
    documents = [Side("train", str(i), f"{sentence(0)} number {i}", ("a",)) for i in range(400)]
    assert near_duplicates(documents, 0.8)["within"] == {"train": 400}


@pytest.mark.slow
def test_hashed_ngrams_give_the_similarity_of_sets_of_strings() -> None:
    def exact(one: str, other: str) -> float:
        a, b = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (one, other))
        return len(a & b) / len(a | b)

    texts = [sentence(i, 5) for i in range(20)]
    texts += [text.replace("1", "é").replace("2", "😀") for text in texts]
    texts += ["", "a", "abc", "abc\0", "abc\0\0", "abc\0\0\0", "\ud800 alone"]
    assert all(similarity(a, b) == exact(a, b) for a in texts for b in texts)


@pytest.mark.slow
def test_long_documents_take_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    base = "".join(draw.choice(string.ascii_letters) for _ in range(20_000))
    texts = [f"{base} {i}" for i in range(20)]  # 20 times 20,000 n-grams: 3.2 MB in arrays, 46 MB in sets of strings
    monkeypatch.setattr(module, "MOST_KEPT", 60_000)
    tracemalloc.start()
    try:
        found = list(similar_pairs(texts, 0.8))
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 20 * 19 / 2
    assert peak < 4_200_000
    assert left < 1_000_000


def test_evaluated_documents_are_compared_first() -> None:
    sizes = {"train": 100, "validation": 50, "test": 30}
    found = documents_to_compare(sizes, "test", 90, seed=0)
    assert {name: len(places) for name, places in found.items()} == {"test": 30, "train": 60, "validation": 0}
    assert list(found["train"]) == sorted(set(found["train"]))
    assert {name: len(places) for name, places in documents_to_compare(sizes, "test", 1000, 0).items()} == sizes
