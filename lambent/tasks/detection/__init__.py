"""Which rows are odd, how sure that is, and why."""

from lambent.tasks.detection.reasons import Reason, reasons, usual_costs
from lambent.tasks.detection.scores import Evidence, Score

__all__ = ["Evidence", "Reason", "Score", "reasons", "usual_costs"]
