"""Both ends of the MIT-licensed runtime 2.13.1, run by the Python of its own environment.

`serve PORT` is the connector as production runs it; `read PORT` takes a configuration as JSON on
its input, asks for a sync as Fivetran's side does, and tells what came.
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    mode, port = sys.argv[1], int(sys.argv[2])
    if mode == "serve":
        _serve(port)
    else:
        json.dump(_read(port, json.load(sys.stdin)), sys.stdout)


def _serve(port: int) -> None:
    from connector import connector

    connector.run(port)


def _read(port: int, configuration: dict[str, str]) -> dict[str, Any]:
    import grpc
    from fivetran_connector_sdk.protos import connector_sdk_pb2, connector_sdk_pb2_grpc

    with grpc.insecure_channel(f"localhost:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        stub = connector_sdk_pb2_grpc.SourceConnectorStub(channel)
        stub.Schema(connector_sdk_pb2.SchemaRequest(configuration=configuration))
        request = connector_sdk_pb2.UpdateRequest(configuration=configuration, state_json="{}")
        began, rows, checkpoints = time.perf_counter(), 0, 0
        for response in stub.Update(request):
            rows += len(response.structured_records.structured_records)
            checkpoints += response.HasField("checkpoint")
        wall_seconds = time.perf_counter() - began
    return {"rows": rows, "checkpoints": checkpoints, "wall_seconds": wall_seconds}


if __name__ == "__main__":
    main()
