"""`python -m tools.dbt_sources`: writes the dbt package's sources from the catalog."""

import json
import sys
import textwrap
from collections.abc import Iterator
from typing import Final

from courier_async.catalog.streams import BY_TABLE
from tools.stage import ROOT

SOURCES: Final = ROOT / "dbt_courier" / "models" / "staging" / "src_courier.yml"
_WIDTH: Final = 99
_HEAD: Final = """\
# Written by `python -m tools.dbt_sources` from the connector's catalog.
version: 2

# No freshness checks: a table receives only rows that are new or changed, so a quiet table can
# go months without a new row. Fivetran itself alerts when a connection no longer syncs.
sources:
  - name: courier
    description: "The tables that the Fivetran connector for Courier fills."
    database: "{{ var('courier_database') or target.database }}"
    schema: "{{ var('courier_schema') }}"
    tables:
"""


def sources() -> str:
    """Returns the text of src_courier.yml."""
    return _HEAD + "".join(f"{line}\n" for line in _tables())


def _tables() -> Iterator[str]:
    for table, stream in BY_TABLE.items():
        yield f"      - name: {table}"
        yield from _description(stream.about, indent=8)
        yield "        columns:"
        for column in stream.columns:
            yield f"          - name: {column.name}"
            yield from _description(column.meaning, indent=12)


def _description(text: str, *, indent: int) -> Iterator[str]:
    margin = " " * indent
    # A JSON string is also a YAML string.
    line = f"{margin}description: {json.dumps(text, ensure_ascii=False)}"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"{margin}description: >-"
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{margin}  ",
        subsequent_indent=f"{margin}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def main() -> int:
    SOURCES.write_text(sources())
    return 0


if __name__ == "__main__":
    sys.exit(main())
