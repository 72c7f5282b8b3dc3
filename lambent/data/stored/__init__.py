"""Rows on disk: data larger than memory, learned from, encoded once and read as they are needed."""
