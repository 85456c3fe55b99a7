"""Concurrent, exact, resumable reading of Courier's REST API."""
