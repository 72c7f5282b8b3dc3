"""The catalog: data sets by name, their files, and where those are kept."""
