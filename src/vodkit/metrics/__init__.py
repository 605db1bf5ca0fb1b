"""Placeholder docstring: say what is here."""
