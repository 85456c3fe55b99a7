"""`make sql`: DuckDB's own prompt on the newest local warehouse."""

import os
import sys
from pathlib import Path

from tools.local_run import latest_warehouse, taken

DUCKDB = Path(sys.executable).parent / "duckdb"


def main() -> None:
    """Becomes the prompt, which changes nothing and keeps no other process out."""
    path = latest_warehouse()
    # On a terminal only: queries may come through a pipe.
    if sys.stdin.isatty():
        print(f"Reads {taken(path)}.")
        print("'show tables;' lists the tables, '.quit' ends.", flush=True)
    if not DUCKDB.exists():
        sys.exit("duckdb-cli is not installed: run 'make clean', then 'make sql' again.")
    # A pager would wait for a key press without saying so.
    setup = ["-cmd", ".pager off", "-cmd", "USE tester"]
    os.execv(DUCKDB, [str(DUCKDB), "-readonly", *setup, str(path)])


if __name__ == "__main__":
    main()
