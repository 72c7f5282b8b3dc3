"""What the report of a run shows, and its verdict."""
