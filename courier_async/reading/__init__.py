"""What one sync reads of each stream, and what of it must be written."""
