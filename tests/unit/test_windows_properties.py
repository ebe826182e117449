"""Windows of documents of any length by any rule."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tagsmith.tokens.windows import WindowRule, encode
from tests.properties import repeatable

CLS, SEP, FIRST = 1, 2, 10
LONGEST = 120


def make_tokenizer() -> Tokenizer:
    words = {"[PAD]": 0, "[CLS]": CLS, "[SEP]": SEP} | {f"w{i}": FIRST + i for i in range(LONGEST)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return tokenizer


TOKENIZER = make_tokenizer()


@st.composite
def rules(draw: st.DrawFn) -> WindowRule:
    """Rules that the settings allow: neighbours share half of a window at most."""
    room = draw(st.integers(2, 20))
    kind = draw(st.sampled_from(["head", "head_tail", "windows"]))
    return WindowRule(room + 2, kind, draw(st.integers(0, room // 2)), draw(st.integers(1, 8)))


@repeatable
@given(rules(), st.lists(st.integers(0, LONGEST), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_batch_holds_what_the_rule_reads_of_each_document(rule: WindowRule, lengths: list[int], draw: object) -> None:
    texts = [" ".join(f"w{i}" for i in range(length)) for length in lengths]
    encoded = encode(TOKENIZER, texts, rule, 0)
    order = np.array(sorted(range(len(lengths)), key=lambda i: (lengths[i] % 7, i)))  # Not that of the documents.
    batch = encoded.batch(order)
    assert batch.windows.tolist() == encoded.windows[order].tolist()
    for place, document in enumerate(order):
        windows = []
        for ids, mask in zip(batch.inputs, batch.attention_mask, strict=True):
            assert not ids[mask == 0].any()
        for row in np.flatnonzero(batch.document == place):
            ids = batch.inputs[row][batch.attention_mask[row] == 1].tolist()
            assert (ids[0], ids[-1]) == (CLS, SEP)
            assert len(ids) <= rule.max_tokens
            windows.append([i - FIRST for i in ids[1:-1]])
        expected = rule.spans(lengths[document], rule.max_tokens - 2)
        assert windows == [[i for start, end in spans for i in range(start, end)] for spans in expected]
        read = {i for window in windows for i in window}
        assert len(read) + encoded.unread[document] == lengths[document]
        assert encoded.tokens[document] == lengths[document] + 2


@repeatable
@given(rules(), st.integers(0, LONGEST))
def test_windows_rise_fit_and_overlap_as_the_rule_says(rule: WindowRule, tokens: int) -> None:
    room = rule.max_tokens - 2
    windows = rule.spans(tokens, room)
    assert all(0 <= start <= end <= tokens for spans in windows for start, end in spans)
    assert all(sum(end - start for start, end in spans) == min(room, tokens) for spans in windows)
    assert windows[0][0][0] == 0
    if rule.long_documents != "windows":
        assert len(windows) == 1
        assert tokens <= room or windows[0][-1][1] == (tokens if rule.long_documents == "head_tail" else room)
        return
    assert len(windows) <= rule.max_windows
    bounds = [bound for spans in windows for bound in spans]
    assert all(before < after for (before, _), (after, _) in pairwise(bounds))
    step = room - rule.overlap
    needed = 1 + max(0, -(-(tokens - room) // step))
    assert len(windows) == min(needed, rule.max_windows)
    assert bounds[-1][1] == tokens or rule.max_windows == 1
    if needed <= rule.max_windows:  # All is read, and neighbours share what is set; the last one may share more.
        shared = [end - start for (_, end), (start, _) in pairwise(bounds)]
        assert shared[:-1] == [rule.overlap] * (len(bounds) - 2)
        assert all(count >= rule.overlap for count in shared)
