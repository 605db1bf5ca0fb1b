"""Inference: one source or many, from a file or live, into run folders."""
