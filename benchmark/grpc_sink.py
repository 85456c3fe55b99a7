"""3b. The SDK's MIT-licensed runtime 2.13.1 as the destination, over gRPC as in production."""

import json
import socket
import subprocess
from typing import Any, Final

from benchmark.figures import Plan, Result
from benchmark.runner import ROOT, account, connector, pages
from tests.support.fake_courier.process import FakeCourierProcess

PYTHON: Final = ROOT / ".venv-benchmark" / "bin" / "python"
LATENCY_MS: Final = 50.0


def measure(plan: Plan) -> Result:
    result = Result(
        "grpc_sink",
        "The 2.13.1 runtime as the destination",
        f"Wall time of a sync through the runtime's gRPC server, {LATENCY_MS:.0f} ms latency, "
        "over the chain floor (one lane), and over a sync into our own sink.",
    )
    if not PYTHON.exists():
        result.note += " LEFT OUT: .venv-benchmark is not there; `make benchmark` makes it."
        return result
    messages = 300 if plan.quick else 4000
    for lanes in (1,) if plan.quick else (1, 8):
        over_chain, over_own, rates = [], [], []
        with account({"message": messages}, latency_ms=LATENCY_MS) as fake:
            for _ in range(plan.repeats):
                own = connector(fake, lanes=lanes)
                grpc = _through_runtime(fake, lanes=lanes)
                if grpc["rows"] < messages:
                    raise RuntimeError(f"{grpc['rows']} of {messages} rows came")
                chain = pages("message", messages) * LATENCY_MS / 1000
                over_chain.append(grpc["wall_seconds"] / chain)
                over_own.append(grpc["wall_seconds"] / own["wall_seconds"])
                rates.append(grpc["rows"] / grpc["wall_seconds"])
        if lanes == 1:
            result.add("lanes: 1", "wall / chain", over_chain, "" if plan.quick else "<= 1.08")
        result.add(f"lanes: {lanes}", "wall / wall with our own sink", over_own)
        result.add(f"lanes: {lanes}", "rows a second", rates)
    return result


def _through_runtime(fake: FakeCourierProcess, *, lanes: int) -> dict[str, Any]:
    port = _free_port()
    configuration = {
        "api_key": fake.key,
        "base_url": fake.url,
        "requests_per_second": "1000",
        "message_lanes": str(lanes),
    }
    script = [str(PYTHON), "-m", "benchmark.grpc_runtime"]
    server = subprocess.Popen([*script, "serve", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        reader = subprocess.run(
            [*script, "read", str(port)],
            cwd=ROOT,
            input=json.dumps(configuration),
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
    finally:
        server.kill()
        server.wait()
    return dict(json.loads(reader.stdout))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
