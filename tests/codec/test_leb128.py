"""Whole numbers in LEB128, as DWARF has them."""

import pytest

from lambent.codec import leb128


def test_numbers_are_the_bytes_of_the_standard() -> None:
    """DWARF 5, figure 7.1.1: 2, 127, 128, 129 and 12857."""
    assert leb128.encoded(2, 127, 128, 129, 12857) == bytes([2, 127, 0x80, 1, 0x81, 1, 0xB9, 0x64])


@pytest.mark.parametrize("number", [0, 1, 127, 128, (1 << 35) - 1, (1 << 63) - 1])
def test_a_number_is_read_where_it_begins(number: int) -> None:
    data = b"\xff" + leb128.encoded(number, 5)
    assert leb128.decoded(data, 1) == (number, len(data) - 1)


@pytest.mark.parametrize(("data", "most"), [(b"", 9), (b"\x80", 9), (b"\x80" * 9 + b"\0", 9), (b"\x80" * 5 + b"\0", 5)])
def test_what_breaks_off_or_is_too_long_is_no_number(data: bytes, most: int) -> None:
    with pytest.raises(ValueError, match="no number"):
        leb128.decoded(data, 0, most)
