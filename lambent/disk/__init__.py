"""What lies on disk: whole-file writes, and the container of named tensors."""
