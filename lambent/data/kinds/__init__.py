"""The kinds of data: each a Modality, raw data ↔ tensors."""
