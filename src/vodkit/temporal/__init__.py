"""Temporal detection: what the frames before and after say about this one."""
