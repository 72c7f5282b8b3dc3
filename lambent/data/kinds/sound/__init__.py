"""Sound: the lapped transform that turns it into rows, and what is looked at and listened to."""
