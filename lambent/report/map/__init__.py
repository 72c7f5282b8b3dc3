"""The page of a map: one HTML file in which codes are looked at and a small decoder runs."""
