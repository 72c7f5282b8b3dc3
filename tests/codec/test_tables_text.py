"""A CSV file as raw cells and tokens: byte for byte the same when it comes back, whatever stands in it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.codec.stack import Stack
from lambent.codec.tables import beside, columns
from lambent.codec.tables.counted import Counted, cumulative, pop_places, push_places
from lambent.codec.tables.parts import joined, parted, plain, squeezed, unplain, unsqueezed
from lambent.codec.tables.spelling import Decimals, Moments, restored, spelled
from lambent.codec.tables.text import bare, sheet
from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.columns.ranked import Ranked
from lambent.errors import ArtifactError

FILES = {
    "plain": b"a,b\n1,2\n3,4\n",
    "open": b"a,b\n1,2\n3,4",
    "crlf": b"a,b\r\n1,2\r\n3,4\r\n",
    "open crlf": b"a,b\r\n1,2\r\n3,4",
    "mixed ends": b"a,b\r\n1,2\n3,4\r\n",
    "returns": b"a,b\r1,2\r3,4\r",
    "mark": b"\xef\xbb\xbfa,b\n1,2\n",
    "sixteen": "a,b\nä,2\n".encode("utf-16"),
    "latin": b"a,b\n\xe4,2\n",
    "quotes": b'a,b\n"1","x, y"\n"2","say ""no"""\n',
    "lines within": b'a,b\n1,"two\nlines"\n2,"and\r\nthree\nmore"\n',
    "never closed": b'a,b\n1,"x\n2,y\n',
    "quote within": b'a,b\n5" pipe,2\n"x"y,3\n',
    "ragged": b"a,b\n1,2\n1,2,3\n4\n5,6\n",
    "blank lines": b"a,b\n\n1,2\n\n\n",
    "semicolons": b"a;b\n1,5;2\n",
    "one row": b"a,b\n1,2",
    "one column": b"a\n1\n\n2\n",
    "trailing comma": b"a,b,\n1,2,\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_back_to_the_byte(name: str) -> None:
    found = sheet(FILES[name])
    assert found is not None
    assert found.written() == FILES[name]


def test_cells_are_told_apart() -> None:
    found = sheet(FILES["quotes"])
    assert found is not None
    assert [[bare(cell) for cell in column] for column in found.columns] == [["a", "1", "2"], ["b", "x, y", 'say "no"']]
    found = sheet(FILES["lines within"])
    assert found is not None
    assert found.columns[1] == ["b", '"two\nlines"', '"and\r\nthree\nmore"']
    found = sheet(FILES["ragged"])
    assert found is not None
    assert (found.columns, found.odd) == ([["a", "1", "5"], ["b", "2", "6"]], {2: "1,2,3", 3: "4"})
    found = sheet(FILES["open crlf"])
    assert found is not None
    assert (found.ending, found.columns[1]) == ("\r\n", ["b", "2", "4"])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([b"a", b",", b"\n", b"\r", b'"', b"0", b"\xc3", b"\xa4", b";"]), max_size=40))
def test_any_bytes_come_back_or_are_no_sheet(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    found = sheet(content)
    assert found is None or found.written() == content


def test_an_empty_file_is_no_sheet() -> None:
    assert sheet(b"") is None
    assert sheet(b"\n \r\n") is None
    assert sheet(b"PAR1\0\n1,2\n") is None  # nor is what is no text


# ---- spellings -------------------------------------------------------------------------------------------------------


def test_decimals_are_read_as_they_are_written_alone() -> None:
    plain_one = Decimals()
    assert plain_one.read("-12.50") == (-1250, 2)
    assert plain_one.read("0") == (0, 0)
    assert [plain_one.read(cell) for cell in ("-0", "-0.0", "05", "+5", "5.", ".5", "1e5", " 5", "5 ", "", "nan")] == [
        None
    ] * 11
    assert plain_one.text((-5, 3)) == "-0.005"


def test_a_spelling_is_found() -> None:
    assert spelled(Counter(["007", "012"]), False, False) == Decimals(width=3)
    assert spelled(Counter(["  7", " 12", "120"]), False, False).read("  7") == (7, 0)
    assert spelled(Counter(['"7"', '"1.5"']), False, False) == Decimals('"', '"')
    assert spelled(Counter(["1,5", "2", "3"]), False, False) == Decimals(point=",")
    assert spelled(Counter([".5", "-.25", "1.5"]), False, False).read("-.25") == (-25, 2)
    assert spelled(Counter(["$12.00", "$7.50"]), False, False).read("$7.50") == (750, 2)


def test_moments_are_whole_days_or_seconds_since_1970() -> None:
    days = spelled(Counter(["1970-01-02", "2024-02-29"]), True, True)
    assert days.read("2024-02-29") == (19782, 0)
    assert days.read("2023-02-29") is None
    seconds = spelled(Counter(["2001-09-09T01:46:40Z"]), True, False)
    assert seconds == Moments("", "Z", "T", True)
    assert seconds.read("2001-09-09T01:46:40Z") == (1_000_000_000, 0)
    assert seconds.read("2001-09-09T01:46:40.25Z") == (100_000_000_025, 2)
    assert spelled(Counter(["1969-12-31 23:59"]), True, False).read("1969-12-31 23:59") == (-60, 0)
    with pytest.raises(ArtifactError, match="none"):
        days.text((10**9, 0))


@pytest.mark.parametrize("moments", [False, True])
def test_a_spelling_is_what_its_state_says(moments: bool) -> None:
    own = Moments("<", ">", " ", False) if moments else Decimals("$", " ", ",", 7, " ", True)
    assert restored(unplain(plain(own.state())), moments) == own


@pytest.mark.parametrize(
    "state", [{"width": 10**12}, {"width": "7"}, {"fill": ""}, {"fill": 0}, {"bare": 1}, {"after": None}, {"other": 1}]
)
def test_C6_a_forged_spelling_is_refused(state: dict[str, object]) -> None:
    """Cells padded to 10^12 characters, or fields of another type or name, are no spelling: refused before a cell is made."""
    with pytest.raises((TypeError, ValueError)):
        restored(state, False)


@pytest.mark.parametrize("row", [[0] * 10**5 + [1], [-1, 2], [1 << 62]])
def test_C6_forged_counts_of_decimals_are_refused(row: list[int]) -> None:
    """A value of 10^5 decimals, negative counts and counts beyond int64 are refused before a power of ten is taken."""
    with pytest.raises(ValueError, match="decimals that no cell has"):
        columns.restored(ranked([0.0], [1.0]), None, {"how": {}, "counts": {"0": row}})


# ---- columns ---------------------------------------------------------------------------------------------------------


def round_trip(writer: columns.Cells, cells: list[str]) -> columns.Read:
    read = writer.read(cells)
    stack = Stack(4)
    writer.push(stack, read)
    again = Stack.from_bytes(stack.to_bytes(), 4, 0, stack.borrowed)
    assert writer.pop(again, read.tokens, iter(read.kept)) == cells
    assert again.is_empty
    return read


def ranked(low: list[float], high: list[float], step: float = 0.0, form: str = "number", unit: float = 1.0) -> Ranked:
    return Ranked("x", "real", "", form, low, high, step, unit)  # type: ignore[arg-type]


def test_values_lie_in_the_tokens_of_the_model() -> None:
    column = ranked([0.5, 3.0, 3.5], [2.5, 3.0, 1003.5], 1.0)
    cells = ["1", "2", "3", "4", "1003", "1004", "-0", "07", "1e2", "", "2.5"]
    read = round_trip(columns.learned(column, Counter(cells), gappy=False), cells)
    assert read.tokens.tolist() == [0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 0]
    assert read.kept == ["1004", "-0", "07", "1e2", ""]


def test_a_missing_cell_is_the_commonest_that_is_no_value() -> None:
    column = ranked([0.5, 3.0], [2.5, 3.0], 1.0)
    cells = ["1", "NA", "NA", "", "3"]
    writer = columns.learned(column, Counter(cells), gappy=True)
    assert writer.blank == "NA"
    read = round_trip(writer, cells)
    assert (read.tokens.tolist(), read.kept) == ([0, -1, -1, 2, 1], [""])


def test_places_cost_as_much_as_there_are_decimals_in_the_bin() -> None:
    cells = [f"{n / 1e6:.6f}" for n in range(1_000_000, 2_000_000, 50)]
    writer = columns.learned(ranked([1.0], [2.0]), Counter(cells), gappy=False)
    stack = Stack(4)
    writer.push(stack, writer.read(cells))
    assert stack.bits == pytest.approx(len(cells) * np.log2(1e6), rel=1e-3)


def test_values_of_any_number_of_decimals_come_back() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(3000) * 10.0 ** rng.integers(-6, 4, 3000)
    cells = [repr(float(value)) if abs(value) > 1e-4 else f"{value:.17f}" for value in values]
    edges = [-1e5, -1.0, -1e-3, 0.0, 0.25, 1.0, 1e5]
    writer = columns.learned(ranked(edges[:-1], edges[1:]), Counter(cells), gappy=False)
    read = round_trip(writer, cells)
    assert len(read.kept) == sum(cell.startswith("-0.") and not cell.strip("-0.") for cell in cells)
    again = columns.restored(ranked(edges[:-1], edges[1:]), None, unplain(plain(writer.state())))
    assert again.state() == writer.state()


def test_where_bins_meet_the_point_is_of_the_upper_one() -> None:
    cells = ["0.5", "1", "1.0", "2.0"]
    read = round_trip(columns.learned(ranked([0.0, 1.0], [1.0, 2.0]), Counter(cells), gappy=False), cells)
    assert read.tokens.tolist() == [0, 1, 1, 1]


def test_dates_come_back() -> None:
    column = ranked([19722.5], [20088.5], 1.0, "datetime", 86400.0)
    cells = ["2024-01-01", "2024-02-29", "2025-01-02", "29.2.2024"]
    read = round_trip(columns.learned(column, Counter(cells), gappy=False), cells)
    assert (read.tokens.tolist(), read.kept) == ([0, 0, 1, 1], cells[2:])


def test_levels_are_written_as_the_file_writes_them() -> None:
    column = Levels("x", "categorical", "", "text", ["a", "b"], [5, 3], ["c", "d"], [0.5, 0.5])
    cells = ['"a"', '"b"', "a", '"c"', "", "unseen", '"d"', '"a"']
    writer = columns.learned(column, Counter(cells), gappy=True)
    read = round_trip(writer, cells)
    assert read.tokens.tolist() == [0, 1, 2, 2, -1, 2, 2, 0]
    assert read.kept == ["a", "unseen"]
    assert writer.state() == {"words": {"0": '"a"', "1": '"b"', "2": '"c"', "3": '"d"'}}


def test_levels_of_numbers_are_known_however_they_are_written() -> None:
    column = Levels("x", "binary", "", "number", [0.0, 1.0], [5, 3])
    cells = ["0.00", "1.00", "0", "1.00"]
    read = round_trip(columns.learned(column, Counter(cells), gappy=False), cells)
    assert (read.tokens.tolist(), read.kept) == ([0, 1, 2, 1], ["0"])


# ---- what lies beside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([str(n) for n in range(7, 1007, 3)], b"c"),
        (["no", "yes", "no"] * 500, b"t"),
        (list(np.random.default_rng(0).choice(["no", "yes"], 1000)), b"n"),
        (["two\nlines", "one"], b"j"),
        (["", ""], b"t"),
        (["01", "02"], b"t"),
    ],
)
def test_columns_beside_the_model_come_back(cells: list[str], kind: bytes) -> None:
    data = beside.packed(cells)
    assert beside.unpacked(data, len(cells)) == cells
    assert data[:1] == kind


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ArtifactError, match="3 cells"):
        beside.unpacked(beside.packed(["x", "y", "z"]), 2)


def test_names_cost_their_entropy() -> None:
    cells = list(np.random.default_rng(1).choice(["a", "b"], 16_000, p=[0.9, 0.1]))
    assert len(beside.packed(cells)) == pytest.approx(16_000 * 0.469 / 8, rel=0.06)


def test_counts_are_shares_of_all_quanta() -> None:
    assert cumulative([1, 0, 3]) == [0, 4194304, 4194305, 16777216]
    symbols = Counted([[1, 1], [0, 5]], np.array([0, 1, 1]))
    start, frequency = symbols.intervals(np.array([0, 0, 1]))
    assert (start.tolist(), frequency.tolist()) == ([0, 0, 1], [1 << 23, 1, (1 << 24) - 1])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 2**61), st.floats(0, 1, exclude_max=True)), max_size=30))
def test_places_come_back(drawn: list[tuple[int, float]]) -> None:
    sizes = np.array([size for size, _ in drawn], np.int64)
    places = np.array([min(size - 1, int(size * share)) for size, share in drawn], np.int64)
    stack = Stack(3)
    push_places(stack, places, sizes)
    assert (pop_places(stack, sizes) == places).all()
    assert stack.is_empty


def test_parts_come_back_and_what_breaks_off_is_refused() -> None:
    parts = [b"", b"x" * 127, b"y" * 128, b"z" * 70_000]
    whole = joined(parts)
    assert parted(whole) == parts
    with pytest.raises(ArtifactError, match="are left"):
        parted(whole[:-1])
    content = b"abc" * 1000
    assert unsqueezed(squeezed(content)) == content
    assert len(squeezed(content)) < 60
    with pytest.raises(ArtifactError, match="unpacked"):
        unsqueezed(squeezed(content)[:-3])
    with pytest.raises(ArtifactError, match="damaged"):
        unplain(squeezed(b"{"))
