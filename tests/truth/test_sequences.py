"""Texts: probabilities of all short ones sum to 1, padding costs nothing, and drawing keeps to what was counted."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.distributions import centre, sample
from lambent.distributions.sequences import END, Sequences, chosen
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel
from lambent.model.likelihoods import Tokens
from lambent.model.networks import Attention, Gru, Network

NAN = math.nan
READERS = ("Gru", "Transformer")


def tokens(reader: str, symbols: int = 3, length: int = 4, **fields: float) -> Tokens:
    torch.manual_seed(3)
    made = Tokens(symbols=symbols, reader=reader, width=8, depth=2, heads=2, rank=4, **fields)
    made.setup((length,))
    with torch.no_grad():  # far from even
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return made.double().eval()


def px_of(likelihood: Tokens, rows: int = 2) -> Sequences:
    px = likelihood(
        torch.randn(rows, likelihood.width, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    )
    assert isinstance(px, Sequences)
    return px


def every(symbols: int, length: int) -> Tensor:
    """All rows: those that end within the room, and those that fill it."""
    texts = [text for words in range(length + 1) for text in itertools.product(range(1, symbols), repeat=words)]
    rows = [[*text, END, *[NAN] * length][:length] for text in texts]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("symbols", "length"), [(3, 4), (2, 5), (5, 1)])
def test_the_probabilities_of_all_texts_sum_to_one(reader: str, symbols: int, length: int) -> None:
    px = px_of(tokens(reader, symbols, length))
    x = every(symbols, length)
    total = px.log_prob(x.unsqueeze(1)).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("reader", READERS)
def test_padding_costs_nothing_and_changes_nothing(reader: str) -> None:
    """The same row alone, beside longer ones, and cut or padded behind its end."""
    likelihood = tokens(reader, symbols=6, length=9)
    px = px_of(likelihood, 1)
    row = torch.tensor([[3.0, 1.0, 5.0, END]], dtype=torch.float64)
    padded = torch.cat((row, torch.full((1, 5), NAN, dtype=torch.float64)), 1)
    longer = torch.randint(1, 6, (1, 9)).double()
    alone = px.log_prob(row)
    torch.testing.assert_close(px.log_prob(padded), alone)
    torch.testing.assert_close(px.log_prob(torch.cat((longer, padded)).unsqueeze(1))[1], alone)
    raw = px.raw.detach().clone().requires_grad_()
    likelihood(raw.expand(2, -1)).log_prob(torch.cat((longer, padded)))[1].backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("reader", READERS)
def test_kept_states_give_what_reading_anew_gives(reader: str) -> None:
    """Step by step with what was kept, the logits are those of the whole prefix read at once."""
    likelihood = tokens(reader, symbols=6, length=7)
    px = px_of(likelihood, 3)
    text = torch.randint(1, 6, (3, 7))
    conditionals = px.conditionals
    state, token = conditionals.begin(px.raw), None
    for step in range(7):
        logits, state = conditionals.step(token, state)
        seen = text[:, : step + 1].double().unsqueeze(0).repeat(6, 1, 1)
        seen[:, :, step] = torch.arange(6).double()[:, None]  # END stands there, too
        through = px.log_prob(seen)
        before = px.log_prob(text[:, :step].double()) if step else 0.0
        torch.testing.assert_close((through - before).T, logits.log_softmax(-1))
        token = text[:, step]


@pytest.mark.parametrize("reader", READERS)
def test_drawn_as_often_as_probable(reader: str) -> None:
    likelihood = tokens(reader, symbols=3, length=3)
    px = px_of(likelihood, 1)
    x = every(3, 3)
    expected = px.log_prob(x.unsqueeze(1)).exp().squeeze(1)
    drawn = sample(px, (20_000,), torch.Generator().manual_seed(0)).squeeze(1)
    found = torch.stack([(drawn.nan_to_num(-1) == row.nan_to_num(-1)).all(-1).double().mean() for row in x])
    assert float(found.sum()) == 1.0, "what was drawn is a text"
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert bool(((found - expected).abs() <= 5 * error + 1e-4).all())


def test_the_centre_is_the_most_likely_token_at_each_step() -> None:
    px = px_of(tokens("Gru", symbols=5, length=6), 4)
    greedy = centre(px)
    assert torch.equal(greedy.nan_to_num(-1), px.rsample((), None, 0.0).nan_to_num(-1))
    for row, raw in zip(greedy, px.raw, strict=True):
        one = Sequences(px.conditionals, raw, 6)
        for step in range(int((~torch.isnan(row)).sum())):
            others = row[: step + 1].repeat(5, 1)
            others[:, step] = torch.arange(5).double()
            assert int(one.log_prob(others).argmax()) == int(row[step])


def test_temperature_and_top_p_by_hand() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(20_000, 1)
    kept = chosen(logits, torch.Generator().manual_seed(0), 1.0, 0.6)
    assert set(kept.tolist()) == {0, 1}, "0.5 alone is less than 0.6, 0.5 + 0.3 is not"
    assert float((kept == 0).double().mean()) == pytest.approx(0.5 / 0.8, abs=0.02)
    cooled = chosen(logits, torch.Generator().manual_seed(0), 0.5, 1.0)
    squares = torch.tensor([0.25, 0.09, 0.0225, 0.0025])
    assert float((cooled == 0).double().mean()) == pytest.approx(float(squares[0] / squares.sum()), abs=0.02)
    assert chosen(logits[:1], None, 0.0, 1.0).item() == 0
    assert set(chosen(logits[:500], torch.Generator().manual_seed(0), 1.0, 1e-6).tolist()) == {0}


@pytest.mark.parametrize("field", ["word_dropout", "dropout"])
def test_what_is_left_out_of_training_is_there_in_use(field: str) -> None:
    likelihood = tokens("Gru", symbols=6, length=5, **{field: 0.5})
    x = torch.tensor([[3.0, 1.0, 5.0, 2.0, END]], dtype=torch.float64).repeat(8, 1)
    raw = torch.zeros(8, 8, dtype=torch.float64)
    assert torch.equal(likelihood(raw).log_prob(x), likelihood(raw).log_prob(x))
    likelihood.train()
    state = torch.get_rng_state()
    assert not torch.equal(likelihood(raw).log_prob(x), likelihood(raw).log_prob(x))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"


def test_nothing_is_shown_at_a_word_dropout_of_one() -> None:
    """Then a text's probability hangs on its places and its code alone: two orders of the tokens before differ in nothing."""
    likelihood = tokens("Transformer", symbols=6, length=4, word_dropout=1.0).train()
    raw = torch.zeros(1, 8, dtype=torch.float64)
    one, other = (torch.tensor([row], dtype=torch.float64) for row in ([3.0, 1.0, 5.0, 2.0], [1.0, 3.0, 5.0, 2.0]))

    def last(x: Tensor) -> Tensor:
        return likelihood(raw).log_prob(x) - likelihood(raw).log_prob(x[:, :3])

    torch.testing.assert_close(last(one), last(other))
    likelihood.eval()
    assert not torch.allclose(last(one), last(other))


def test_where_the_logits_begin() -> None:
    likelihood = Tokens(symbols=3, width=4)
    likelihood.setup((3,))
    likelihood.start(torch.tensor([[1.0, 1.0, END], [1.0, END, NAN]]))
    expected = (torch.tensor([2.1, 3.1, 0.1]) / 5.3).log()
    torch.testing.assert_close(likelihood.bias.detach(), expected)


@pytest.mark.parametrize("network", [Gru(width=5, depth=2), Attention(width=6, depth=2, heads=2)])
def test_an_encoder_reads_the_same_however_far_a_row_is_padded(network: Network) -> None:
    torch.manual_seed(0)
    likelihood = Tokens(symbols=6, width=4, rank=3)
    likelihood.setup((8,))
    encoder = network.encoder((8, 4))
    short = torch.tensor([[2.0, 5.0, 1.0, END]])
    padded = torch.cat((short, torch.full((1, 4), NAN)), 1)
    longer = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0]])
    alone = encoder(likelihood.seen(short))
    torch.testing.assert_close(encoder(likelihood.seen(padded)), alone)
    torch.testing.assert_close(encoder(likelihood.seen(torch.cat((longer, padded))))[1:], alone)
    changed = padded.clone()
    changed[0, 2] = 4.0
    assert not torch.allclose(encoder(likelihood.seen(changed)), alone)


def test_rows_that_are_no_texts_are_refused() -> None:
    likelihood = Tokens(symbols=4)
    likelihood.setup((4,))
    likelihood.check(torch.tensor([[1.0, 2.0, END, NAN], [END, NAN, NAN, NAN], [1.0, 2.0, 3.0, 3.0]]))
    for row, said in (
        ([1.0, NAN, END, NAN], "not finite"),
        ([1.0, 2.0, 3.0, NAN], "not finite"),
        ([1.0, 2.0, 4.0, END], "as many symbols"),
        ([1.0, 2.5, END, NAN], "Text kind of data"),
        ([1.0, END, 2.0, END], "follow the end"),
    ):
        with pytest.raises(DataError, match=said):
            likelihood.check(torch.tensor([row]))
    with pytest.raises(UsageError, match="rows of tokens"):
        Tokens().setup((1, 4, 4))


def test_a_model_of_texts_scores_them_whatever_stands_beside(small_model: Callable[..., LatentModel]) -> None:
    model = small_model((6,), likelihood=Tokens(symbols=5, width=6, rank=3), network=Gru(width=4)).eval()
    x = torch.tensor([[1.0, 2.0, END, NAN, NAN, NAN], [3.0, 3.0, 4.0, 1.0, 2.0, END]])
    both = model.infer(x)[0].q
    one = model.infer(x[:1])[0].q
    assert both is not None
    assert one is not None
    torch.testing.assert_close(centre(both)[:1], centre(one))
