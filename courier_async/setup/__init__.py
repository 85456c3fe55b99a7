"""Fivetran's setup form and its connection tests."""
