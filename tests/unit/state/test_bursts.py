"""The state stays small even if one hour holds more messages than it may remember."""

from courier_async.catalog.stream import HOUR_MS
from courier_async.state.sent_rows import SentByHour

NOW = 500_000 * HOUR_MS


def filled(most: int, counts: dict[int, int]) -> SentByHour:
    sent = SentByHour(most)
    for hour, count in counts.items():
        for number in range(count):
            sent.set(number.to_bytes(6, "big"), NOW + hour * HOUR_MS, b"123456")
    return sent


def test_an_hour_of_a_few_more_than_are_kept_is_kept_whole() -> None:
    sent = filled(100, {0: 150})
    assert len(sent) == 150
    assert sent.is_above_given_up(NOW)


def test_an_hour_of_many_more_gives_way_and_later_ones_are_kept() -> None:
    sent = filled(100, {0: 201})
    assert len(sent) == 0
    for number in range(50):
        sent.set(number.to_bytes(6, "big"), NOW + HOUR_MS, b"123456")
    assert len(sent) == 50
    assert not sent.is_above_given_up(NOW)
    assert sent.is_above_given_up(NOW + HOUR_MS)
    again = SentByHour.from_json(sent.as_json(), 100)
    assert again.as_json() == sent.as_json()
