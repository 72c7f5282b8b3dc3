"""CSV files through a trained model of their table: byte for byte the same when they come back, at the cost of the bound."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import lambent
from lambent.codec.exact.dyadic import whole
from lambent.codec.leaves import emission
from lambent.codec.pace import Pace
from lambent.codec.pack import packed, unpacked
from lambent.codec.stack import Stack
from lambent.codec.tables import table as table_module
from lambent.codec.tables.chain import ExactAutoregressive, sequence, visible
from lambent.codec.tables.slim import slim
from lambent.codec.tables.table import CODED, STORED, decode_table, encode_table
from lambent.data.kinds.table import Table
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.model.likelihoods.autoregressive import Autoregressive

ROWS = 400


def made(rows: int = ROWS, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    towns = rng.choice(["Oslo", "Rome", "Lima, Peru"], rows, p=[0.5, 0.3, 0.2])
    heights = np.where(towns == "Oslo", 180, 170) + 8 * rng.standard_normal(rows)
    paid = np.where(rng.random(rows) < 0.2, "", [f"{n:.2f}" for n in rng.gamma(2, 300, rows)])
    names = [f"person {rng.integers(10**9)} of {town}" for town in towns]
    return [
        [str(n), towns[n], repr(float(heights[n])), str(paid[n]), str(rng.integers(0, 4)), names[n]]
        for n in range(rows)
    ]


def written(rows: list[list[str]], ending: str = "\n", names: bool = True) -> bytes:
    head = [["id", "town", "height", "paid", "children", "name"]] if names else []
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in [*head, *rows]]
    return (ending.join(lines) + ending).encode()


def trained(content: bytes, path: Path, **options: object) -> Fitted:
    path.write_bytes(content)
    table = Table(scale="ranks").fit(path)
    likelihood = table.defaults()["likelihood"] | {"width": 16, "rank": 4, "dropout": 0.0}
    chosen = {"epochs": 4, "batch": 32, "learning_rate": 5e-3, "validation": 0.0} | options
    network = {"type": "Mlp", "width": 16}
    vae = lambent.VAE(3, likelihood=likelihood, network=network, modality=Table(scale="ranks"), **chosen)
    with pytest.warns(lambent.DataWarning):  # of the names and numbers that are left out
        vae.fit(path)
    return Fitted.of(vae)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return trained(written(made()), tmp_path_factory.mktemp("tables") / "people.csv")


def coded(fitted: Fitted, content: bytes) -> bytes:
    data = encode_table(fitted, content)
    assert decode_table(fitted, data) == content
    return data


# ---- byte for byte ---------------------------------------------------------------------------------------------------


def test_a_file_comes_back_and_is_smaller_than_by_lzma(people: Fitted) -> None:
    content = written(made(2000, 1))
    data = coded(people, content)
    assert data[:1] == CODED
    stored = 1 + len(lambent.codec.tables.parts.squeezed(content))
    assert len(data) < 0.75 * stored


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_ends_of_lines_and_marks_come_back(people: Fitted, ending: str, mark: bytes) -> None:
    content = mark + written(made(200), ending)
    assert coded(people, content)[:1] == CODED
    assert coded(people, content.removesuffix(ending.encode()))[:1] == CODED


UNUSUAL = {
    "unseen level": ("town", "Paris"),
    "quoted level": ("town", '"Oslo"'),
    "lines within": ("name", '"two\nlines, and ""quotes"""'),
    "leading noughts": ("children", "003"),
    "exponent": ("height", "1.8e2"),
    "large exponent": ("height", "1e5"),
    "negative nought": ("children", "-0"),
    "far out": ("height", "123456789.123456789"),
    "no number": ("children", "two"),
    "missing where none was": ("height", ""),
    "another blank": ("paid", "NA"),
    "more decimals": ("paid", "12.3456"),
    "plus": ("paid", "+12.50"),
    "blanks": ("paid", " 12.50 "),
    "beyond floats": ("paid", "9" * 400),
    "other letters": ("town", "Århus"),
    "formula": ("name", "=1+1"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_cells_come_back(people: Fitted, name: str) -> None:
    column, cell = UNUSUAL[name]
    rows = made(200)
    for row in (0, 77, 199):
        rows[row][["id", "town", "height", "paid", "children", "name"].index(column)] = cell
    assert coded(people, written(rows))[:1] == CODED


def test_few_rows_none_and_no_table_at_all_come_back(people: Fitted) -> None:
    coded(people, written(made(1)))
    coded(people, written(made(2)))
    assert coded(people, written([]))[:1] == STORED
    assert coded(people, b"") == STORED + b"\0"
    assert coded(people, b"\n\n")[:1] == STORED


def test_columns_may_stand_in_another_order_and_among_others(people: Fitted) -> None:
    names = ["more", "paid", "town", "children", "height"]
    rows = [[str(n % 7), row[3], row[1], row[4], row[2]] for n, row in enumerate(made(300))]
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in [names, *rows]]
    assert coded(people, "\n".join(lines).encode())[:1] == CODED


def test_ragged_rows_and_blank_lines_come_back(people: Fitted) -> None:
    lines = written(made(200)).split(b"\n")
    lines[5:5] = [b"", b"Oslo,1", b"a,b,c,d,e,f,g"]
    assert coded(people, b"\n".join(lines))[:1] == CODED


def test_a_table_in_several_blocks_comes_back(people: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_one = encode_table(people, written(made(500)))
    monkeypatch.setattr("lambent.codec.tables.table.BLOCK", 150)
    data = coded(people, written(made(500)))
    assert len(data) != len(whole_one)


def test_threads_make_no_difference(people: Fitted) -> None:
    content, before = written(made(300)), torch.get_num_threads()
    try:
        made_by = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made_by.append(encode_table(people, content))
    finally:
        torch.set_num_threads(before)
    assert made_by[0] == made_by[1]


# ---- what it costs ---------------------------------------------------------------------------------------------------


def chain(columns: int, tokens: int, kinds: str = "levels", seed: int = 0) -> Autoregressive:
    """A likelihood of random weights, that has met random rows."""
    torch.manual_seed(seed)
    likelihood = Autoregressive(tokens=(tokens,), kinds=(kinds,), width=16, rank=4)
    likelihood.setup((columns,))
    likelihood.start(torch.randint(tokens, (500, columns)).double())
    for parameter in likelihood.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return likelihood.eval()


@pytest.mark.parametrize(
    ("columns", "tokens", "kinds"), [(5, 7, "levels"), (4, 40, "bins"), (3, 9, "values"), (70, 3, "levels")]
)
def test_a_row_costs_what_the_likelihood_says(columns: int, tokens: int, kinds: str) -> None:
    likelihood = chain(columns, tokens, kinds)
    exact = ExactAutoregressive(likelihood)
    x = torch.randint(tokens, (64, columns))
    raw = (torch.randn(64, columns * 16) * 4096).round() / 4096
    with torch.no_grad():
        nats = -likelihood(raw).log_prob(x.float()).double().sum()
    under = emission(exact, raw.double())
    information = 0.0
    parts = under.parted(x.numpy())
    for stage in range(under.stages):
        frequency = under.symbols(stage, parts[:stage], None).intervals(parts[stage])[1]
        information -= float(np.log2(frequency / 2.0**24).sum())
    assert information * math.log(2) == pytest.approx(float(nats), rel=1e-3)


@pytest.mark.parametrize("columns", [5, 70])
def test_rows_pushed_are_popped(columns: int) -> None:
    exact = ExactAutoregressive(chain(columns, 6))
    x = torch.randint(6, (33, columns)).numpy()
    raw = (torch.randn(33, columns * 16, dtype=torch.float64) * 4096).round() / 4096
    stack = Stack(8)
    emission(exact, raw).push(stack, x)
    assert (emission(exact, raw).pop(stack) == x).all()
    assert stack.is_empty


def test_what_all_columns_tell_is_one_exact_sum() -> None:
    """Of 70 columns, by whole numbers: each rounded once, then the sum, cut to 2^10, times gains of 2^-16 and rounded again."""
    own = chain(70, 6)
    exact = ExactAutoregressive(own).hearing
    features = (torch.randn(5, exact.spans[-1], dtype=torch.float64) * 4096).round() / 4096
    weights = (own.chain.heard.weight.detach().double() * 65536 + 0.5).floor().long()
    gains = (own.chain.heard.gain.detach().double() * 65536 + 0.5).floor().long()
    spans = list(zip(exact.spans, exact.spans[1:], strict=False))
    each = [whole(features[:, a:b]) @ weights[j, : b - a].numpy() for j, (a, b) in enumerate(spans)]
    each = [(one + (1 << 15)) >> 16 for one in each]
    for column in (0, 41, 69):
        total = sum(one for j, one in enumerate(each) if exact.visible[j, column])
        total = np.clip(total, -(1 << 22), 1 << 22) * gains[column].numpy()
        assert (whole(exact.heard(exact.told(features), column)) == (total + (1 << 15)) >> 16).all()


def test_sums_of_many_columns_that_could_be_rounded_are_refused() -> None:
    """Each column stays within its bound, and all of them together do not."""
    own = chain(70, 6)
    own.chain.heard.weight.data.fill_(2000.0)
    with pytest.raises(UsageError, match="what every column hears weighs"):
        ExactAutoregressive(own)
    own = chain(4, 40, "bins")
    next(iter(own.chain.heads.smooth.values())).data.fill_(1e4)
    with pytest.raises(UsageError, match="by its features weighs"):
        ExactAutoregressive(own)


def test_C6_a_forged_pace_is_refused(people: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pace below nought, by which no batch would end, in the head of a block is told."""
    own = table_module._block
    monkeypatch.setattr(table_module, "_block", lambda coded, places: own(coded._replace(pace=Pace(10, -5)), places))
    data = encode_table(people, written(made(60)))
    with pytest.raises(ArtifactError, match="less than nought"):
        decode_table(people, data)


def test_C6_a_table_larger_than_its_block_says_is_refused(people: Fitted) -> None:
    """A table of more rows, or of longer cells, than its block has bytes for is refused; of so many bytes it comes back."""
    for content in (written(made(60)), written([[*row[:-1], "x" * 4000] for row in made(60)]), b"\0" * 5000):
        data = encode_table(people, content)
        assert decode_table(people, data, most=len(content)) == content
        for most in (100, len(content) // 2):
            with pytest.raises(ArtifactError, match=f"more than {most:,} bytes|too large"):
                decode_table(people, data, most=most)


def test_the_encoder_sees_what_the_models_own_does(people: Fitted) -> None:
    likelihood = people.model.likelihood
    exact = ExactAutoregressive(likelihood)
    x = people.rows(written_frame()).x
    gaps = people.modality.encoding.indicates
    tokens = x.nan_to_num(0.0).long()
    for number, place in enumerate(gaps, x.shape[1] - len(gaps)):
        tokens[:, number] = torch.isnan(x[:, place]).long()
    assert int(tokens[:, -1].sum()) > 0
    torch.testing.assert_close(exact.seen(tokens.double()), likelihood.seen(x).double(), atol=2e-4, rtol=0)


def written_frame() -> object:
    polars = pytest.importorskip("polars")
    return polars.read_csv(written(made(50)), infer_schema_length=None)


def test_a_missing_cell_is_told_before_it_and_costs_nothing_else(people: Fitted) -> None:
    likelihood = people.model.likelihood
    names = people.modality.names
    paid, missing = names.index("paid"), names.index("paid is missing")
    order = sequence(likelihood)
    assert order.index(missing) + 1 == order.index(paid)
    heard = visible(likelihood.chain.layout, order)
    assert not heard[missing].any()  # there is no other indicator, and cells hear none
    raw = torch.zeros(1, likelihood.hidden[0] * likelihood.hidden[1], dtype=torch.float64)
    under = emission(ExactAutoregressive(likelihood), raw)
    x = np.zeros((1, len(names)), np.int64)
    x[0, missing] = 1
    parts = under.parted(x)
    assert [len(part) for part in parts] == [0 if column == paid else 1 for column in order]
    assert (under.joined([*parts]) == x).all()


def test_a_table_costs_its_bound(people: Fitted) -> None:
    """What comes out beside places within bins is the negative ELBO in bits, to one in a hundred."""
    rows = made(3000, 5)
    content = written([[row[1], row[2], row[3], row[4]] for row in rows], names=False)
    content = b"town,height,paid,children\n" + content
    data = encode_table(people, content)
    parts = lambent.codec.tables.parts.parted(data[9:])
    (block,) = lambent.codec.tables.parts.parted(parts[3])
    size = len(lambent.codec.tables.parts.parted(block)[1])
    assert size * 8 == pytest.approx(bound(people, rows), rel=0.01)


def bound(people: Fitted, rows: list[list[str]]) -> float:
    """−ELBO in bits of tokens, each cell after its indicator, by the model's own networks."""
    polars = pytest.importorskip("polars")
    frame = polars.read_csv(written(rows), infer_schema_length=None)
    x = people.modality.augment(people.rows(frame).x, torch.Generator().manual_seed(0))
    model, gaps = people.model.eval(), list(people.modality.encoding.indicates)
    own = len(people.modality.encoding.modelled)
    x[:, own:] = torch.isnan(people.rows(frame).x[:, gaps]).float()
    x[:, :own] = people.rows(frame).x[:, :own]
    likelihood = model.likelihood
    with torch.no_grad():
        trace = model.trace(x, 1, lambent.model.trace.from_posterior(torch.Generator().manual_seed(1)))
        raw = trace.px.raw[0]
        order = torch.tensor(sequence(likelihood))
        heard = visible(likelihood.chain.layout, order.tolist())
        assert not heard[own:, :own].any()
        hidden = likelihood.chain(raw, x, order)
        tokens = likelihood.chain.features.tokens(x)
        each = likelihood.chain.heads.log_prob(hidden, tokens).masked_fill(torch.isnan(x), 0.0)
        # Cells hear no indicators: their terms come from rows that show none.
        blind = x.clone()
        blind[:, own:] = torch.nan
        hidden = likelihood.chain(raw, blind, order)
        each[:, :own] = likelihood.chain.heads.log_prob(hidden, tokens).masked_fill(torch.isnan(x), 0.0)[:, :own]
        total = -(each.double().sum() + trace.log_ratio.double().sum())
    return float(total) / math.log(2)


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_another_model_is_refused(people: Fitted, tmp_path: Path) -> None:
    other = trained(written(made()), tmp_path / "other.csv", random_state=5, epochs=1)
    data = encode_table(people, written(made(300)))
    with pytest.raises(ArtifactError, match=r"another model"):
        decode_table(other, data)


def test_damage_is_told(people: Fitted) -> None:
    content = written(made(60))
    data, harmless = encode_table(people, content), 0
    for place in range(0, len(data), 23):  # test_salvage.py flips every bit of a smaller archive
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        try:  # what unpacking does not look at makes no difference
            assert decode_table(people, bytes(damaged)) == content
            harmless += 1
        except ArtifactError:
            pass
    assert harmless < 5
    for length in (0, 1, 5, 9, 30, len(data) // 2, len(data) - 1):
        with pytest.raises(ArtifactError):
            decode_table(people, data[:length])


def test_a_file_without_a_column_of_the_model_is_refused(people: Fitted) -> None:
    with pytest.raises(DataError, match=r"no column 'height'.*heigth"):
        encode_table(people, written(made(20)).replace(b"height", b"heigth"))


def test_models_of_densities_are_refused() -> None:
    vae = lambent.VAE(2, epochs=1, validation=0.0).fit(np.random.default_rng(0).standard_normal((60, 3)))
    with pytest.raises(UsageError, match="scale ranks"):
        encode_table(vae, b"a,b,c\n1,2,3\n")


# ---- slim ------------------------------------------------------------------------------------------------------------


def test_a_slim_model_codes_about_as_well(people: Fitted) -> None:
    content = written(made(1000, 3))
    size = len(encode_table(people, content))
    assert len(coded(slim(people), content)) == pytest.approx(size, rel=0.01)


def test_a_slim_model_packs_smaller_and_codes_once_it_is_unpacked(people: Fitted) -> None:
    pytest.importorskip("zstandard")
    small = packed(slim(people), 6)
    assert len(small) < 0.75 * len(packed(people, 6))
    coded(unpacked(small), written(made(300)))


def test_the_exact_logits_are_near_the_models(people: Fitted) -> None:
    likelihood = chain(4, 30, "bins", seed=3)
    exact = ExactAutoregressive(likelihood)
    x = torch.randint(30, (10, 4))
    raw = (torch.randn(10, 4, 16) * 4096).round() / 4096
    told = exact.hearing.told(exact.shown(x, torch.ones_like(x, dtype=torch.bool)))
    for column in exact.sequence:
        with torch.no_grad():
            order = likelihood.order
            hidden = likelihood.chain(raw, x.float(), order)[column]
            right = likelihood.chain.heads.logits(hidden, column)
        logits = exact.links[column](raw[:, column].double() + exact.hearing.heard(told, column))
        assert (whole(logits) == (logits * 4096).numpy()).all()
        torch.testing.assert_close(logits.log_softmax(-1), right.double(), atol=5e-3, rtol=0)


def test_an_archive_of_a_table_carries_a_slim_model(people: Fitted, tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    content = written(made(300))
    source = tmp_path / "people.csv"
    source.write_bytes(content)
    told = lambent.Codec(people).compress(source, tmp_path / "whole.lam", with_model=True)
    assert told.archive.model < 0.75 * len(packed(people, 10))
    lambent.Codec().decompress(tmp_path / "whole.lam", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == content
