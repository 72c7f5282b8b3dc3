"""diagnose: why a model has collapsed or failed, shown by numbers, and what cures it."""

from lambent.tasks.diagnosis.diagnose import Diagnosis, Finding, diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
