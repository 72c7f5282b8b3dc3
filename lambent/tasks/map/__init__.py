"""map: rows as points of a plane by their codes, with all that a page needs to walk among them."""
