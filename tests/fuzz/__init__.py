"""Bytes that no honest peer sends, for every parser that reads a peer's bytes: `python -m tests.fuzz --help`."""
