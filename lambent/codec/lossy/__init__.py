"""Lossy compression of photographs: rounded codes of a model with a Uniform posterior, and an exact decoder of pictures."""

from lambent.codec.lossy.pictures import decode_lossy, encode_lossy

__all__ = ["decode_lossy", "encode_lossy"]
