"""Columns of a table: what kind each has, and how its values become numbers and come back."""
