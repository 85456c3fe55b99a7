"""docs/schema.md matches the catalog."""

import re

from courier_async.catalog.streams import BY_TABLE
from tools.schema_docs import DOCUMENT, document
from tools.stage import ROOT

TABLES = ROOT / "docs" / "tables.md"


def test_the_document_is_as_the_catalog_has_it() -> None:
    assert DOCUMENT.read_text() == document(), "run `make schema`"


def test_every_table_column_and_field_that_is_left_out_stands_in_it() -> None:
    _, *parts = re.split(r"^### ", DOCUMENT.read_text(), flags=re.MULTILINE)
    documented = {
        part.partition("\n")[0]: re.findall(r"^\| `(\w+)` \| [A-Z_]+ \|", part, re.MULTILINE)
        for part in parts
    }
    assert documented == {
        table: [column.name for column in stream.columns] for table, stream in BY_TABLE.items()
    }
    for stream in BY_TABLE.values():
        assert all(f"`{name}`" in DOCUMENT.read_text() for name in stream.left_out)


def test_the_page_on_tables_joins_them_as_the_catalog_does() -> None:
    declared = {
        (table, column.name, column.refers_to)
        for table, stream in BY_TABLE.items()
        for column in stream.columns
        if column.refers_to
    }
    page = TABLES.read_text()
    drawn = set(re.findall(r'^    (\w+) }o--o\| (\w+) : "(\w+) = id"$', page, re.MULTILINE))
    owned = set(re.findall(r'^    (\w+) \|\|--o{ (\w+) : "id = (\w+)"$', page, re.MULTILINE))
    joins = {(table, column, other) for table, other, column in drawn}
    joins |= {(table, column, other) for other, table, column in owned}
    assert joins == declared
