"""Keys that a person presses on the tagging page, counted by hand."""

from tagsmith.bench.tagging.keystrokes import Keys

FEW = ("billing", "bug")
FIRST_TEN = ("Age_limit", "card_arrival", "card_swallowed", "change_pin", "fee_charged", "lost_card", "pending_top_up",
             "pending_transfer", "refund", "top_up_failed")  # fmt: skip
MANY = (*FIRST_TEN, "top_up_limits", "transfer_fee", "2fa_code", "pending")


def test_digits_choose_among_ten_classes() -> None:
    keys = Keys(FEW, False)
    assert [keys.from_list([name]) for name in FEW] == [1, 1]
    assert keys.with_suggestions(["bug"], ["billing", "bug"], ["billing"]) == 1


def test_beyond_ten_a_class_is_typed() -> None:
    keys = Keys(MANY, False)
    assert keys.from_list(["card_swallowed"]) == 1  # The third of the first ten.
    # A name that begins with it comes before one of which a later word does: t, r, Enter.
    assert keys.from_list(["transfer_fee"]) == 3
    # "limit" is in Age_limit, too; u, p, _, l, Enter.
    assert keys.from_list(["top_up_limits"]) == 5
    assert keys.from_list(["2fa_code"]) == 3  # A digit does not begin a search: /, 2, Enter.
    # Classes that begin with it stand first in the list, so that even the whole name does not find it first.
    assert keys.from_list(["pending"]) == len("pending") + 2


def test_suggestions_save_keys() -> None:
    keys = Keys(MANY, False)
    assert keys.with_suggestions(["pending"], ["pending", "refund"], ["pending"]) == 1  # Enter.
    assert keys.with_suggestions(["pending"], ["refund", "pending"], ["refund"]) == 1  # 2
    # Digits are those of the suggestions now; suggested classes are listed first.
    assert keys.with_suggestions(["Age_limit"], ["refund", "pending"], ["refund"]) == 2
    assert keys.with_suggestions(["card_arrival"], ["card_swallowed"], []) == 4  # a, r, r, Enter.


def test_several_classes_are_marked_and_saved() -> None:
    keys = Keys(MANY, True)
    assert keys.from_list([]) == keys.with_suggestions([], ["refund"], ["refund"]) == 1
    assert keys.from_list(["card_arrival", "transfer_fee"]) == 1 + 3 + 1
    assert keys.with_suggestions(["refund"], ["refund", "pending"], ["refund"]) == 1
    # The first is unmarked, the second marked, transfer_fee typed; Enter saves.
    assert keys.with_suggestions(["pending", "transfer_fee"], ["refund", "pending"], ["refund"]) == 1 + 1 + 3 + 1
