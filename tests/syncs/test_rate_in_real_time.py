"""The shared rate by the machine's own clock."""

import time

import pytest

from courier_async.api.pacer import Pacer
from tests.support.requests_let_go import let_go, most_in_a_window


@pytest.mark.parametrize("per_second", [200, 1000])
async def test_the_rate_holds_in_real_time(per_second: int) -> None:
    # Another process may take the machine for a while: once in eight must reach it.
    for _ in range(8):
        spent_before = time.process_time()
        moments = await let_go(Pacer(per_second=per_second), seconds=1.5)
        assert time.process_time() - spent_before < 1.5, "waiting is not spinning"
        # The moments are read after the limiter let go, so scheduling may add one in a hundred.
        assert most_in_a_window(moments, seconds=1) <= per_second * 1.01
        if len(moments) >= 0.98 * 1.5 * per_second:
            return
    pytest.fail(f"only {len(moments)} of {1.5 * per_second} were let go")
