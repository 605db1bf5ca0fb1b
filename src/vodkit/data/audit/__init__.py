"""Checks of labelled video: labels, videos, shifts, leaks and missing labels."""
