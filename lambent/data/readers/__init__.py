"""Readers: files of each format, as raw rows."""
