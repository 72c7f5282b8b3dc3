"""LEB128: whole numbers as bytes, seven bits in each, the lowest first; the highest bit of a byte says that more follow."""

WIDEST = 9  # bytes: 63 bits


def encoded(*numbers: int) -> bytes:
    """Numbers from nought, one behind the other."""
    made = bytearray()
    for number in numbers:
        while number > 127:
            made.append(number & 127 | 128)
            number >>= 7
        made.append(number)
    return bytes(made)


def decoded(data: bytes, place: int, most: int = WIDEST) -> tuple[int, int]:
    """The number of at most so many bytes that begins at a place, and the place behind it; `ValueError` where there is none."""
    number = 0
    for count, byte in enumerate(data[place : place + most]):
        number |= (byte & 127) << 7 * count
        if byte < 128:
            return number, place + count + 1
    raise ValueError(f"no number of at most {most} bytes begins at {place}")
