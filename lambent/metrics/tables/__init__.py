"""Synthetic tables beside real ones: plain functions of coded rows that return numbers."""
