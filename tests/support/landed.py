"""Lands records through the catalog alone in a real local warehouse."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.end_to_end import DebugFolder, Run

_CONNECTOR = '''
"""Sends the records in records.json, through the catalog alone."""

import json
from pathlib import Path

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Operations as op

from courier_async.catalog.rows import RowMapper
from courier_async.catalog.schema import schema_of
from courier_async.catalog.streams import BY_TABLE


def schema(configuration):
    return schema_of(BY_TABLE.values())


def update(configuration, state):
    tables = json.loads(Path(__file__).with_name("records.json").read_text())
    for table, records in tables.items():
        mapper = RowMapper(BY_TABLE[table], redact_secrets=True)
        for record in records:
            op.upsert(table, mapper.row(record))
    op.checkpoint({})


connector = Connector(update=update, schema=schema)
'''


class CatalogFolder:
    """A project folder whose connector sends the records it is given, and its warehouse."""

    def __init__(self, folder: Path) -> None:
        self._debug = DebugFolder(folder, {})
        self._project = self._debug.project
        self.warehouse = self._debug.warehouse
        (self._project / "connector.py").write_text(_CONNECTOR)

    def send(self, records: Mapping[str, list[dict[str, Any]]], *options: str) -> Run:
        """Sends these records, table by table, in one `fivetran debug` run."""
        (self._project / "records.json").write_text(json.dumps(records))
        configuration = str(self._debug.configuration_path)
        return self._debug.command(
            "debug", str(self._project), "--configuration", configuration, *options
        )
