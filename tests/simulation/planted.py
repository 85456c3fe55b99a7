"""Bugs."""

BUGS = ()
