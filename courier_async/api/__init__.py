"""Courier's REST API: requests, their rate and retries, and what a response says."""
