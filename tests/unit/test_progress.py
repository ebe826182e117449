import logging
import time

import pytest

from tagsmith.core import progress


@pytest.mark.parametrize(
    ("done", "seconds", "told"),
    [
        (5000, 2.0, "2,500 documents/s, 2 s left"),
        (20, 2.0, "10 documents/s, 998 s left"),
        (3, 60.0, "3 documents/min, 199,940 s left"),
    ],
)
def test_a_log_says_how_far_how_fast_and_how_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, done: int, seconds: float, told: str
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LOG_EVERY", seconds)
    with caplog.at_level(logging.INFO, "tagsmith"), progress.meter("scoring", 10_000, "documents") as bar:
        now[0] += seconds
        bar.advance(done)
    assert caplog.messages == [f"scoring: {done:,} of 10,000 documents, {told}"]


def test_what_was_done_before_is_not_this_runs_speed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, "tagsmith"), progress.meter("scoring", 1000, "documents", done=900) as bar:
        now[0] += progress.LOG_EVERY
        bar.advance(50)
    # 50 in 30 s; 50 are left.
    assert caplog.messages == ["scoring: 950 of 1,000 documents, 100 documents/min, 30 s left"]
