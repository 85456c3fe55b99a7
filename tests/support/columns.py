"""The table of columns in the documentation, as data."""

import re
from dataclasses import dataclass

from tools.stage import ROOT

DOCUMENT = ROOT / "README.md"


@dataclass(frozen=True)
class Column:
    """A row of the table; `name` is the destination's, and may end in `*`."""

    table: str
    name: str
    type: str
    empty: str

    def covers(self, name: str) -> bool:
        if self.name.endswith("*"):
            return name.startswith(self.name[:-1])
        return name == self.name


def documented_columns() -> dict[str, list[Column]]:
    """table -> its columns, patterns last."""
    text = DOCUMENT.read_text()
    columns: dict[str, list[Column]] = {}
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE):
        table, _, rest = part.partition("\n")
        cells = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in rest.splitlines()
            if line.startswith("| ") and line.count("|") == 5
        ]
        if cells and cells[0][0] == "column":
            found = [Column(table.strip("`"), row[0], row[1], row[3]) for row in cells[1:]]
            columns[table.strip("`")] = sorted(found, key=lambda column: "*" in column.name)
    return columns
