"""Writers: typed columns → files, whole or a piece at a time."""
