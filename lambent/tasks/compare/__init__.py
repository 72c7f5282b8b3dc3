"""Models that were trained on the same data, measured side by side and told: a table, pictures, and when to use which."""
