"""What is known of each stream between syncs, and the rules that follow from it."""
