"""Which rows are odd, how sure that is, and why."""

from lambent.tasks.detection.scores import Evidence, Score

__all__ = ["Evidence", "Score"]
