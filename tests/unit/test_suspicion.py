"""Which tags look wrong: hand-worked odds, suggestions, near copies, the number that confident learning gives."""

import numpy as np
import pytest

from tagsmith.core.errors import SettingsError
from tagsmith.improve import suspicion
from tagsmith.improve.suspicion import (
    NEAR_BONUS,
    Suspicion,
    count_wrong,
    in_order,
    require_cleanlab,
    same_characters,
    suspicions,
    with_near_copies,
    wrong_odds,
)


def test_single_label_odds_are_those_of_the_best_other_class() -> None:
    logits = np.log(np.asarray([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32))
    truth = np.asarray([[0, 1, 0], [0, 0, 1]], dtype=np.int8)
    found = suspicions(wrong_odds(logits, truth, False), truth, False)
    assert [one.suggested for one in found] == [(0,), (0,)]
    assert np.allclose([np.exp(one.odds) for one in found], [0.7 / 0.2, 0.1 / 0.8])
    assert np.allclose([one.score for one in found], [0.7 / 0.9, 0.1 / 0.9])  # Of the two, how likely the other is.


def test_multi_label_odds_of_a_missing_tag_count_how_many_could_lack_it() -> None:
    truth = np.asarray([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.int8)
    logits = np.asarray([[-1.5, 0.5], [2, -3], [2, -3], [-2, 1]], dtype=np.float32)
    found = wrong_odds(logits, truth, True)
    shares = np.asarray([3.5 / 5, 1.5 / 5])
    prior = np.log(shares / (1 - shares))
    assert np.allclose(found[0], [1.5, 0.5 - prior[1]])
    assert np.allclose(found[3], [-2 - prior[0], -1])
    one = suspicions(found, truth, True)[0]
    assert one.suggested == ()  # The likelier of the two changes alone: the other one is not sure enough.
    both = suspicions(np.asarray([[3.0, 2.5]], dtype=np.float32), truth[:1], True)[0]
    assert both.suggested == (1,)


def test_of_two_near_copies_the_more_suspected_one_moves_up() -> None:
    texts = ["Where is my new card?", "Where is my  new card", "Close my account", "Why was my card declined?"]
    vectors = np.asarray([[1, 0, 0], [0.99, 0.02, 0], [-1, 1, 0], [-1, -1, 0]], dtype=np.float32)
    truth = np.eye(4, dtype=np.int8)
    before = [Suspicion(odds, (0,)) for odds in (-2.0, -1.0, -1.5, -3.0)]
    after = with_near_copies(before, vectors, texts, truth)
    assert [one.odds for one in after] == [-2.0, -1.0 + NEAR_BONUS, -1.5, -3.0]
    assert in_order(after) == [1, 2, 0, 3]
    assert not after[1].same_text
    same = with_near_copies(before, vectors, [texts[0], f" {texts[0].upper()}", *texts[2:]], truth)
    assert in_order([*same, Suspicion(9.0, (0,))]) == [1, 4, 2, 0, 3]  # One of two tags of a text is wrong.
    assert after[1].near is not None
    assert after[1].near[0] == 0
    same_tags = truth.copy()
    same_tags[1] = same_tags[0]
    assert with_near_copies(before, vectors, texts, same_tags) == before
    unlike = ["Where is my new card?", "An altogether different text", *texts[2:]]
    assert with_near_copies(before, vectors, unlike, truth) == before


def test_equal_characters() -> None:
    assert same_characters("How do  I pay?", "how do i pay?") == 1.0
    assert same_characters("abcd", "abxy") == pytest.approx(2 * 2 / 8)
    assert same_characters("ab " * 900, "ab " * 300 + "cd " * 600) == 1.0  # No further than it compares.


@pytest.mark.parametrize("multi_label", [False, True])
def test_confident_learning_counts_the_planted_mistakes(multi_label: bool) -> None:
    random = np.random.default_rng(0)
    right = np.eye(3, dtype=np.int8)[random.integers(0, 3, 600)]
    if multi_label:
        right |= np.eye(3, dtype=np.int8)[random.integers(0, 3, 600)]
    logits = ((right * 2.0 - 1) * 3 + random.normal(size=right.shape)).astype(np.float32)
    assert count_wrong(logits, right, multi_label) < 15
    given = right.copy()
    for i in range(60):
        given[i] = np.roll(given[i], 1)
    assert 40 < count_wrong(logits, given, multi_label) < 80


def test_a_class_without_documents_is_not_a_mistake() -> None:
    truth = np.eye(4, dtype=np.int8)[[0, 1, 0, 1] * 20]
    logits = (truth * 6.0 - 3).astype(np.float32)
    assert count_wrong(logits, truth, False) == 0


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    require_cleanlab()
    monkeypatch.setattr(suspicion, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'tagsmith\[improve\]'"):
        require_cleanlab()
