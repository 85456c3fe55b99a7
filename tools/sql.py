"""`make sql`: DuckDB's own prompt on the newest local warehouse."""

import os
import sys
from pathlib import Path

from tools.local_run import latest_warehouse, shown

DUCKDB = Path(sys.executable).parent / "duckdb"


def main() -> None:
    """Become the prompt. Nothing can be changed, and no other process is kept out."""
    path = latest_warehouse()
    if not DUCKDB.exists():
        sys.exit("duckdb-cli is not installed: run 'make clean', then 'make sql' again.")
    print(f"{shown(path)}, read-only. '.tables' lists the tables, '.quit' ends.", flush=True)
    os.execv(DUCKDB, [str(DUCKDB), "-readonly", "-cmd", "USE tester", str(path)])


if __name__ == "__main__":
    main()
