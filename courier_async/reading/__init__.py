"""Decides what one sync reads of each stream, and which rows, deletes and state it writes."""
