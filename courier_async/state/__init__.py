"""What is known about each stream between syncs, and the rules based on it."""
