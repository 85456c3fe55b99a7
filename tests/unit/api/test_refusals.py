"""Ten minutes of rate limits on a stream, and limits that only one stream meets."""

from courier_async.api.refusals import Refusals


def test_a_stream_gives_up_by_its_own_answers_alone() -> None:
    refusals = Refusals()
    refusals.refused("brand", sent_at=0, now=0, retry_after_seconds=None)
    refusals.refused("list", sent_at=0, now=0, retry_after_seconds=None)
    refusals.answered("message")
    refusals.answered("list")
    assert refusals.gives_up("brand", 599.9) is False
    assert refusals.gives_up("brand", 600) is True
    assert refusals.gives_up("list", 600) is False


def test_the_first_limit_and_one_that_all_meet_hold_everyone() -> None:
    refusals = Refusals()
    for turn in range(5):
        for table in ("brand", "message"):
            now = turn * 100.0
            assert refusals.refused(table, sent_at=now, now=now, retry_after_seconds=2.0) == 0


def test_a_limit_that_others_do_not_meet_makes_its_stream_wait_alone() -> None:
    refusals = Refusals()
    assert refusals.refused("brand", sent_at=0, now=0, retry_after_seconds=2.0) == 0
    refusals.answered("message")
    # Sent before the wait was over, so it adds nothing.
    assert refusals.refused("brand", sent_at=1, now=1, retry_after_seconds=2.0) == 0
    assert refusals.refused("brand", sent_at=10, now=10, retry_after_seconds=7.0) == 7
    assert refusals.refused("brand", sent_at=20, now=20, retry_after_seconds=None) == 4
    refusals.answered("brand")
    assert refusals.refused("brand", sent_at=30, now=30, retry_after_seconds=2.0) == 0
