"""Lists of problems: rows of the same cause share a line."""

import pytest

from tagsmith.core.errors import listing


@pytest.mark.parametrize(
    ("problems", "lines"),
    [
        ([f"a.csv:{i}: the text is empty" for i in (3, 5, 9)], None),
        ([f"a.csv:{i}: the text is empty" for i in (3, 5, 9, 12)],
         ["4 rows: the text is empty (a.csv:3, 5, 9 and 1 more)"]),
        ([f"{name}.txt:1: cannot be decoded as utf-8" for name in "abcde"],
         ["5 rows: cannot be decoded as utf-8 (a.txt:1, b.txt:1, c.txt:1 and 2 more)"]),
        ([f"a.csv:{i}: expected {1_000 + i % 2} fields, found {name!r}, the fields' own"
          for i, name in enumerate(["it's", "b", "c", "d"])],
         ["4 rows: expected 1000, 1001 fields, found \"it's\", 'b', 'c', ..., the fields' own "
          "(a.csv:0, 1, 2 and 1 more)"]),
        ([f"a.csv:{i}: unknown {', '.join(repr(name) for name in 'xyz'[: i + 1])}" for i in range(4)],
         ["4 rows: unknown 'x', 'x', 'y', 'x', 'y', 'z' (a.csv:0, 1, 2 and 1 more)"]),
        (["no place"] + ["other place"] * 2 + [f"train.lr{i}: 1 in the run, 2 now" for i in range(5)], None),
        ([f"a.csv:{i}: found {'x' * 500 + str(i)!r}" for i in range(4)],
         ["4 rows: found " + f"'{'x' * 59}..., " * 3 + "... (a.csv:0, 1, 2 and 1 more)"]),
    ],
    ids=["few", "one file", "files", "values", "lists", "no rows", "long values"],
)  # fmt: skip
def test_rows_of_one_cause_share_a_line(problems: list[str], lines: list[str] | None) -> None:
    expected = lines or list(dict.fromkeys(problems))
    assert listing("Problems:", problems).splitlines() == ["Problems:", *(f"  - {line}" for line in expected)]


def test_causes_beyond_the_limit_are_counted() -> None:
    problems = [f"{place}: {letter} is wrong" for letter in "abcdef" for place in ("x.csv:1", "x.csv:2")]
    assert listing("Problems:", problems, 5).splitlines()[-1] == "  ... and 7 more"
