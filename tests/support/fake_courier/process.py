"""The fake API in a separate process, for callers that measure, kill or have no event loop."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests.support.fake_courier.options import DEFAULT_KEY

ROOT = Path(__file__).parents[3]


class FakeCourierProcess:
    """Starts the server on entry, and always ends it on exit.

    Arguments are those of Account and Options, as in JSON; `options` is any Options by name.
    Raises RuntimeError if the server does not start, or refuses its arguments.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        sizes: Mapping[str, int] | None = None,
        orders: Mapping[str, str] | None = None,
        targets: str = "mixed",
        daily: Mapping[str, float] | None = None,
        hostile_names: bool = True,
        span_days: float = 30.0,
        cluster_share: float = 0.0,
        now_ms: int | None = None,
        port: int = 0,
        key: str = DEFAULT_KEY,
        latency_ms: float = 0.0,
        options: Mapping[str, Any] | None = None,
        start_seconds: float = 30.0,
    ) -> None:
        self.key = key
        self.url = ""
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[str] | None = None
        self._opener = build_opener(ProxyHandler({}))
        self.arguments = [
            f"--seed={seed}", f"--sizes={_joined(sizes)}", f"--orders={_joined(orders)}",
            f"--targets={targets}", f"--daily={_joined(daily)}",
            f"--span-days={span_days}", f"--cluster-share={cluster_share}",
            f"--port={port}", f"--key={key}", f"--latency-ms={latency_ms}", "--exit-with-parent",
        ]  # fmt: skip
        self.arguments += ["--hostile-names"] if hostile_names else []
        self.arguments += [] if now_ms is None else [f"--now-ms={now_ms}"]
        for name, value in (options or {}).items():
            self.arguments.append(f"--option={name}={json.dumps(value)}")

    def __enter__(self) -> "FakeCourierProcess":
        command = [sys.executable, "-m", "tests.support.fake_courier", *self.arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        # Kills a server that hangs before it is ready, which ends the readline below.
        alarm = threading.Timer(self._start_seconds, self._process.kill)
        alarm.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        alarm.cancel()
        found = re.search(r"http://\S+", line)
        if found is None:
            self._end()
            raise RuntimeError(f"the fake Courier API did not start: {line!r}")
        self.url = found[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stats(self, *, times: bool = False) -> dict[str, Any]:
        """Returns the traffic since the last reset, as Traffic.as_json gives it."""
        return dict(self._ask("GET", "stats?times=1" if times else "stats"))

    def reset_stats(self) -> None:
        self._ask("POST", "stats/reset")

    def change(self, do: str, **arguments: Any) -> list[str]:
        """Changes data like Account.apply: change("edit", stream="brand", n=2). Returns ids."""
        return list(self._ask("POST", "change", {"do": do, **arguments})["ids"][0])

    def change_after(self, stream: str, requests: int, do: str, /, **arguments: Any) -> None:
        """Does the same just before the stream's n-th listing request from now."""
        change = {"do": do, **arguments}
        body = {"stream": stream, "requests": requests, "change": change}
        self._ask("POST", "change-after", body)

    def change_options(self, **changes: Any) -> None:
        self._ask("PATCH", "options", changes)

    def forget_cursors(self) -> None:
        self._ask("POST", "forget-cursors")

    def truth(self, stream: str) -> Iterator[dict[str, Any]]:
        """Yields the records that the API would list now."""
        with self._opener.open(f"{self.url}/_fake/truth/{stream}", timeout=60) as lines:
            for line in lines:
                yield json.loads(line)

    def _ask(self, method: str, route: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/_fake/{route}", data=data, method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise RuntimeError(f"{method} {route}: {error.read().decode()}") from None

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _joined(pairs: Mapping[str, Any] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in (pairs or {}).items())
