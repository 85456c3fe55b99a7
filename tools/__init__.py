"""What builds and ships the connector; nothing of it is in the package."""
