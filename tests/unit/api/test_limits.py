"""Ten minutes of limits a stream, and limits that only one stream meets."""

from courier_async.api.limits import Limits


def test_a_stream_gives_up_by_its_own_answers_alone() -> None:
    limits = Limits()
    limits.refused("brand", sent_at=0, now=0, told=None)
    limits.refused("list", sent_at=0, now=0, told=None)
    limits.answered("message")
    limits.answered("list")
    assert limits.gives_up("brand", 599.9) is False
    assert limits.gives_up("brand", 600) is True
    assert limits.gives_up("list", 600) is False


def test_the_first_limit_and_one_that_all_meet_hold_everyone() -> None:
    limits = Limits()
    for turn in range(5):
        for table in ("brand", "message"):
            now = turn * 100.0
            assert limits.refused(table, sent_at=now, now=now, told=2.0) == 0


def test_a_limit_that_others_do_not_meet_makes_its_stream_wait_alone() -> None:
    limits = Limits()
    assert limits.refused("brand", sent_at=0, now=0, told=2.0) == 0
    limits.answered("message")
    # Let go before the wait was over: nothing new.
    assert limits.refused("brand", sent_at=1, now=1, told=2.0) == 0
    assert limits.refused("brand", sent_at=10, now=10, told=7.0) == 7
    assert limits.refused("brand", sent_at=20, now=20, told=None) == 4
    limits.answered("brand")
    assert limits.refused("brand", sent_at=30, now=30, told=2.0) == 0
