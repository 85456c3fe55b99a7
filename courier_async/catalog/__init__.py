"""What Courier has, as data: streams, their tables and columns, and how a record becomes a row."""
