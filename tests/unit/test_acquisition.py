"""What to tag next: hand-worked worth, shares, no near copies, the same queue for the same seed."""

from collections import Counter

import numpy as np
import pytest

from tagsmith.decision.uncertainty import decision_uncertainty, uncertainty
from tagsmith.improve.acquisition import (
    NEAR_COPY,
    Chosen,
    Reason,
    centred_unit_rows,
    choose,
    rarity,
    representatives,
)


def pool(count: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores.astype(np.float32), random.normal(size=(count, 8)).astype(np.float32)


def queue(scores: np.ndarray, vectors: np.ndarray, budget: int, **changes: object) -> list[Chosen]:
    settings = {"tagged": np.full(scores.shape[1], 20), "audit_share": 0.1, "multi_label": False, "seed": 0, **changes}
    return choose(scores, vectors, budget=budget, **settings)  # type: ignore[arg-type]


def test_single_label_uncertainty_is_the_margin_shared_by_the_best_two() -> None:
    scores = np.asarray([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], dtype=np.float32)
    # 1 - (0.5 - 0.3) = 0.8, of which 0.5 / 0.8 falls to the first class.
    assert np.allclose(decision_uncertainty(scores, False), [[0.5, 0.3, 0], [0, 0, 0]])
    assert np.allclose(uncertainty(scores, False), [0.8, 0])


def test_multi_label_uncertainty_is_the_entropy_of_each_decision_in_bits() -> None:
    scores = np.asarray([[0.75, 0.0], [0.5, 0.5]], dtype=np.float32)
    # 3/4 log2(4/3) + 1/4 log2(4) = 2 - 3/4 log2(3).
    expected = 2 - 0.75 * np.log2(3)
    assert np.allclose(decision_uncertainty(scores, True), [[expected, 0], [1, 1]], atol=1e-4)
    assert np.allclose(uncertainty(scores, True), [expected, 2], atol=1e-4)


def test_a_class_with_fewer_tags_counts_more() -> None:
    # The mean is 7: the fourth root of 8 / 4, of 8 / 1, ...
    assert np.allclose(rarity(np.asarray([3, 0, 17, 8])), np.asarray([8 / 4, 8 / 1, 8 / 18, 8 / 9]) ** 0.25)


def test_uncertain_documents_of_a_rare_class_come_first_with_that_reason() -> None:
    scores = np.tile(np.asarray([[0.9, 0.05, 0.05]], dtype=np.float32), (40, 1))
    scores[3] = [0.5, 0.5, 0.0]
    scores[7] = [0.5, 0.0, 0.5]
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    found = queue(scores, vectors, 2, tagged=np.asarray([30, 30, 2]), audit_share=0.0)
    assert {chosen.position for chosen in found} == {3, 7}
    reasons = {chosen.position: chosen for chosen in found}
    assert reasons[7] == Chosen(7, Reason.rare_class, 2)
    assert reasons[3] == Chosen(3, Reason.uncertain)
    one = queue(scores, vectors, 1, tagged=np.asarray([30, 30, 2]), audit_share=0.0)
    assert [chosen.position for chosen in one] == [7]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 5), (0.25, 13), (1.0, 50)])
def test_the_audit_share_is_exact_and_spread_over_the_queue(share: float, expected: int) -> None:
    found = queue(*pool(400), 50, audit_share=share)
    assert len({chosen.position for chosen in found}) == len(found) == 50
    audits = [place for place, chosen in enumerate(found) if chosen.reason is Reason.audit]
    assert len(audits) == expected
    for half in (range(25), range(25, 50)):
        assert abs(sum(place in half for place in audits) - expected / 2) <= 1


def test_the_audit_is_drawn_from_all_documents_whatever_their_scores() -> None:
    scores, vectors = pool(3000)
    sure = uncertainty(scores, False) < np.median(uncertainty(scores, False))
    found = queue(scores, vectors, 300, audit_share=1.0)
    share = np.mean([sure[chosen.position] for chosen in found])
    assert 0.4 < share < 0.6
    assert np.mean([sure[chosen.position] for chosen in queue(scores, vectors, 100, audit_share=0.0)]) < 0.05


def test_no_two_are_near_copies_while_others_are_left() -> None:
    scores, vectors = pool(60)
    copied = np.repeat(vectors, 5, axis=0) + np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32) * 0.01
    found = queue(np.repeat(scores, 5, axis=0), copied, 40, audit_share=0.2)
    assert len({chosen.position // 5 for chosen in found}) == 40
    unit = centred_unit_rows(copied)[[chosen.position for chosen in found]]
    likeness = unit @ unit.T - 2 * np.eye(40)
    assert likeness.max() < NEAR_COPY
    # With nothing but copies the budget is still used up.
    assert len(queue(np.repeat(scores[:2], 10, axis=0), np.repeat(vectors[:2], 10, axis=0), 15)) == 15


def test_the_same_seed_gives_the_same_queue_and_another_seed_another() -> None:
    scores, vectors = pool(300)
    first = queue(scores, vectors, 30)
    assert first == queue(scores, vectors, 30)
    assert first != queue(scores, vectors, 30, seed=1)


def test_a_pool_smaller_than_the_budget_is_the_queue() -> None:
    found = queue(*pool(7), 100)
    assert sorted(chosen.position for chosen in found) == list(range(7))
    assert Counter(chosen.reason for chosen in found)[Reason.audit] == 1
    assert queue(np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32), 5) == []


def test_a_cluster_gives_its_document_nearest_to_the_centre_and_weighs_what_it_holds() -> None:
    vectors = np.asarray([[0, 0], [0, 1], [0, 2], [9, 0], [9, 3]], dtype=np.float32)
    weights = np.asarray([1, 1, 1, 5, 1], dtype=np.float32)
    clusters = representatives(vectors, weights, 2, seed=0)
    assert [list(inside) for inside in clusters] == [[3, 4], [1, 0, 2]]
    assert representatives(vectors, weights, 0, seed=0) == []
