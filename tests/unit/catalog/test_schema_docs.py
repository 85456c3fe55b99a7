"""docs/schema.md says what the catalog says."""

import re

from courier_async.catalog.streams import BY_TABLE
from tools.schema_docs import DOCUMENT, document


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
