"""Measures of a model: plain functions that return numbers."""
