import numpy as np
import pytest

from tagsmith.tokens.batches import cut, scoring_batches, training_batches


def sizes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.integers(3, 60, count), draw.integers(1, 4, count)


def test_a_batch_is_cut_where_the_next_document_would_exceed_the_budget() -> None:
    lengths, windows = np.array([4, 4, 5, 2, 2]), np.array([1, 1, 1, 2, 1])
    # 4+4 = 8; with the 5: 3 x 5 = 15 > 12. Then 5 and two windows of 2: 3 x 5 = 15 > 12.
    assert [batch.tolist() for batch in cut(np.arange(5), lengths, windows, 12)] == [[0, 1], [2], [3, 4]]


def cut_one_by_one(order: np.ndarray, lengths: np.ndarray, windows: np.ndarray, budget: int) -> list[list[int]]:
    """What `cut` promises, word for word."""
    batches: list[list[int]] = []
    for document in order:
        grown = [*batches[-1], document] if batches else []
        if grown and lengths[grown].max() * windows[grown].sum() <= budget:
            batches[-1].append(int(document))
        else:
            batches.append([int(document)])
    return batches


@pytest.mark.parametrize("budget", [16, 100, 700])
def test_batches_are_cut_as_one_by_one(budget: int) -> None:
    lengths, windows = sizes(3, 400)
    order = np.random.default_rng(0).permutation(400)
    assert [batch.tolist() for batch in cut(order, lengths, windows, budget)] == cut_one_by_one(
        order, lengths, windows, budget
    )


def test_the_batches_of_a_seed_are_those_that_they_always_were() -> None:
    lengths, windows = sizes(5, 12)
    found = [batch.tolist() for batch in training_batches(lengths, windows, 128, 0, 0)]
    assert found == [[4, 5, 6], [7, 11], [0], [3, 8], [2, 9, 10], [1]]


def test_a_document_beyond_the_budget_goes_alone() -> None:
    batches = cut(np.arange(3), np.array([3, 50, 3]), np.array([1, 1, 1]), 10)
    assert [batch.tolist() for batch in batches] == [[0], [1], [2]]


@pytest.mark.parametrize("count", [1, 7, 500])
def test_every_document_is_in_one_batch_within_the_budget(count: int) -> None:
    lengths, windows = sizes(0, count)
    for batches in (scoring_batches(lengths, windows, 256), training_batches(lengths, windows, 256, 0, 0)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        for batch in batches:
            assert len(batch) == 1 or lengths[batch].max() * windows[batch].sum() <= 256


def test_the_seed_and_the_epoch_alone_decide() -> None:
    lengths, windows = sizes(1, 300)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in training_batches(lengths, windows, 256, seed, epoch)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_little_padding_and_no_order_by_length() -> None:
    lengths = np.random.default_rng(0).integers(4, 40, 5000)
    windows = np.ones(5000, dtype=np.int64)
    batches = training_batches(lengths, windows, 1024, 0, 0)
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert 1 - lengths.sum() / padded < 0.03
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2


def test_scoring_begins_with_the_longest() -> None:
    lengths, windows = sizes(2, 100)
    first = scoring_batches(lengths, windows, 128)[0]
    assert lengths[first].max() == lengths.max()


def test_no_documents() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert scoring_batches(none, none, 128) == []
