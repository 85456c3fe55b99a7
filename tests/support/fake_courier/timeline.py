"""Times of any number of records, computed from their index, and found by bisection."""

from bisect import bisect_left

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


class Timeline:
    """A function from index (0 = oldest) to epoch ms that never decreases, with occasional ties.

    With `cluster_share`, that share of the records lies inside one week of the span. Raises
    ValueError if the span is too short to give each record a millisecond, or, with a cluster, is
    two weeks or less.
    """

    def __init__(
        self, size: int, *, start_ms: int, end_ms: int, cluster_share: float = 0.0, salt: int = 0
    ) -> None:
        self.size = size
        self.start_ms = start_ms
        self.end_ms = end_ms
        self._salt = salt
        # Each segment: first index past it, its first index, its first time, its width in ms,
        # its number of records, and the range of the jitter that keeps neighbours in order.
        self._segments: list[tuple[int, int, int, int, int, int]] = []
        first = 0
        for count, begin, end in _shares(size, start_ms, end_ms, cluster_share):
            if count == 0:
                continue
            gap = (end - begin) // count
            if gap < 1:
                raise ValueError(f"{count} records do not fit into {end - begin} ms")
            jitter = max(1, gap // 2)
            self._segments.append((first + count, first, begin, end - begin, count, jitter))
            first += count

    def time(self, index: int) -> int:
        """Returns the time in epoch ms of the record at `index`, 0 <= index < size."""
        block = (((index >> 3) + self._salt) * 0x9E3779B97F4A7C15 >> 40) & 63
        if block < 4:  # three neighbours of eight share one time
            place = index & 7
            if 2 < place < 5:
                index -= place - 2
        elif block == 4:  # all eight do
            index &= ~7
        for past, first, begin, width, count, jitter in self._segments:
            if index < past:
                at = begin + (index - first) * width // count
                return at + ((index * 0x2545F4914F6CDD1D) >> 20) % jitter
        raise IndexError(index)

    def first_at_or_after(self, ms: int) -> int:
        """Returns the smallest index whose time is at or after `ms`; `size` if there is none."""
        return bisect_left(range(self.size), ms, key=self.time)


def _shares(
    size: int, start_ms: int, end_ms: int, cluster_share: float
) -> list[tuple[int, int, int]]:
    if not cluster_share:
        return [(size, start_ms, end_ms)]
    span = end_ms - start_ms
    if span <= 2 * WEEK_MS:
        raise ValueError("a cluster needs a span of more than two weeks")
    week = start_ms + (span - WEEK_MS) * 2 // 5
    inside = round(size * cluster_share)
    before = (size - inside) * 2 // 5
    return [
        (before, start_ms, week),
        (inside, week, week + WEEK_MS),
        (size - inside - before, week + WEEK_MS, end_ms),
    ]
