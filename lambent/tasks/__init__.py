"""What a fitted model is good for: functions of it, not subclasses."""
