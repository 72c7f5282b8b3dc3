"""Exact arithmetic: networks and functions that give the same bits on every machine."""
