"""Rows, deletes and checkpoints, handed to Fivetran's SDK one after another."""
