"""Courier's streams as data: their tables and columns, and how a record becomes a row."""
