"""Columns that see columns: probabilities that sum to one, draws and conditionals against sums over all rows."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from lambent.distributions.chained import Chained
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Autoregressive
from lambent.model.likelihoods.chain import Pairwise, Shared
from lambent.model.likelihoods.features import Features, Layout
from lambent.model.likelihoods.ordering import coarse, met, mutual_information, ordered
from lambent.model.networks import Mlp
from lambent.objectives import Elbo
from lambent.training.fitting import fit
from lambent.training.run import Run

TOKENS = (3, 2, 4, 2)
KINDS = ("levels", "values", "bins", "levels")
ORDERS = list(itertools.permutations(range(4)))


def chained(rows: int = 1, trains: bool = False, **fields: object) -> tuple[Autoregressive, Tensor]:
    """A small likelihood with weights large enough that columns hang on each other, and its raw output for some rows."""
    torch.manual_seed(3)
    likelihood = Autoregressive(**{"tokens": TOKENS, "kinds": KINDS, "width": 16, "rank": 3, **fields})  # type: ignore[arg-type]
    likelihood.gaps = True
    shape = likelihood.setup((4,))
    with torch.no_grad():
        for weight in likelihood.chain.heads.weights:
            weight.mul_(20)
        likelihood.chain.heard.weight.mul_(4)
    likelihood.requires_grad_(trains)
    return likelihood.double().eval(), torch.randn(rows, *shape, dtype=torch.float64)


def every(tokens: tuple[int, ...] = TOKENS) -> Tensor:
    return torch.tensor(list(itertools.product(*map(range, tokens))), dtype=torch.float64)


def joint(likelihood: Autoregressive, raw: Tensor) -> Tensor:
    """The probability of every row, [rows of raw, every row]."""
    rows = every(likelihood.chain.layout.tokens)
    return likelihood(raw[:, None].expand(-1, len(rows), -1)).log_prob(rows).exp()


def number(value: Tensor) -> Tensor:
    """The place of a row among all."""
    places = torch.tensor([math.prod(TOKENS[j + 1 :]) for j in range(4)], dtype=torch.float64)
    return (value.floor() * places).sum(-1).long()


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_probabilities_of_all_rows_sum_to_one_in_every_order(order: tuple[int, ...]) -> None:
    likelihood, raw = chained(rows=2)
    likelihood.order.copy_(torch.tensor(order))
    torch.testing.assert_close(joint(likelihood, raw).sum(1), torch.ones(2, dtype=torch.float64))


def test_columns_hang_on_each_other() -> None:
    likelihood, raw = chained()
    table = joint(likelihood, raw)[0].reshape(TOKENS)
    alone = [table.sum([other for other in range(4) if other != column], keepdim=True) for column in range(4)]
    shared = (table * (table / math.prod(alone[1:], start=alone[0])).log()).sum()
    assert float(shared) > 0.03


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0)], ids=str)
def test_what_is_missing_at_the_end_of_the_order_is_summed_over(order: tuple[int, ...]) -> None:
    likelihood, raw = chained()
    likelihood.order.copy_(torch.tensor(order))
    table = joint(likelihood, raw)[0].reshape(TOKENS)
    for missing in (1, 2, 3):
        out = order[4 - missing :]
        rows = every()
        rows[:, out] = math.nan
        left_out = table.sum(out, keepdim=True).expand(TOKENS).flatten()
        torch.testing.assert_close(likelihood(raw).log_prob(rows).exp(), left_out)


def test_a_row_of_gaps_costs_nothing() -> None:
    likelihood, raw = chained()
    px = likelihood(raw)
    rows = torch.full((1, 4), math.nan, dtype=torch.float64)
    assert px.log_prob(rows).item() == 0.0
    assert torch.equal(px.column_log_prob(rows), torch.zeros(1, 4, dtype=torch.float64))


def test_columns_sum_to_the_row_and_the_place_within_a_bin_costs_nothing() -> None:
    likelihood, raw = chained()
    px = likelihood(raw)
    rows = every()
    torch.testing.assert_close(px.column_log_prob(rows).sum(-1), px.log_prob(rows))
    torch.testing.assert_close(px.log_prob(rows + 0.75), px.log_prob(rows))


def test_a_token_beyond_the_last_counts_as_the_last() -> None:
    likelihood, raw = chained()
    px = likelihood(raw)
    torch.testing.assert_close(
        px.log_prob(torch.tensor([[7.0, -3.0, 99.0, 1.0]]).double()),
        px.log_prob(torch.tensor([[2.0, 0.0, 3.0, 1.0]]).double()),
    )


def test_frequencies_of_draws_are_the_probabilities() -> None:
    likelihood, raw = chained(rows=2)
    likelihood.order.copy_(torch.tensor([2, 0, 1, 3]))
    drawn = likelihood(raw).sample((40_000,))
    assert drawn.shape == (40_000, 2, 4)
    for row, exact in enumerate(joint(likelihood, raw)):
        found = torch.bincount(number(drawn[:, row]), minlength=48) / 40_000
        spread = (exact * (1 - exact) / 40_000).sqrt()
        assert ((found - exact).abs() < 5 * spread + 1e-4).all()


def test_places_within_are_uniform_in_bins_and_in_the_last_token_alone() -> None:
    likelihood, raw = chained()
    drawn = likelihood(raw).sample((20_000,))[:, 0]
    within = drawn - drawn.floor()
    for column, kind in enumerate(KINDS):
        free = drawn[:, column] >= TOKENS[column] - 1 if kind != "bins" else torch.ones(20_000, dtype=torch.bool)
        assert (within[~free, column] == 0).all()
        uniform = within[free, column].sort().values
        even = torch.linspace(0, 1, len(uniform), dtype=torch.float64)
        assert (uniform - even).abs().max() < 2.0 / math.sqrt(len(uniform))


def test_a_colder_draw_is_more_often_likely_and_the_coldest_is_the_mode() -> None:
    likelihood, raw = chained(rows=3)
    px = likelihood(raw)
    cold = px.rsample((500,), torch.Generator().manual_seed(0), 0.3)
    warm = px.rsample((500,), torch.Generator().manual_seed(0), 1.0)
    assert px.log_prob(cold).mean() > px.log_prob(warm).mean() + 0.2
    assert torch.equal(px.rsample((), None, 0.0), px.centre)


PATTERNS = [(1,), (0, 2), (3,), (0, 1, 2, 3), (2, 3)]


@pytest.mark.parametrize("missing", PATTERNS, ids=str)
def test_rows_are_completed_by_the_chain_given_what_is_there(missing: tuple[int, ...]) -> None:
    """p of a completion: the missing columns in order, each given what is there and the ones drawn before."""
    likelihood, raw = chained()
    likelihood.order.copy_(torch.tensor([2, 0, 3, 1]))
    row = torch.tensor([1.0, 0.0, 2.25, 1.0], dtype=torch.float64)
    given = row.clone()
    given[list(missing)] = math.nan
    px = likelihood(raw)
    drawn, weight = px.completed(given.expand(20_000, 4), torch.Generator().manual_seed(0))
    there = ~torch.isnan(given)
    assert torch.equal(drawn[:, there], given[there].expand(20_000, -1))
    torch.testing.assert_close(weight, px.log_prob(given).expand(20_000))
    exact = torch.zeros(48, dtype=torch.float64)
    for values in itertools.product(*(range(TOKENS[j]) for j in missing)):
        filled, log_p = given.clone(), 0.0
        for column in (2, 0, 3, 1):
            if column in missing:
                token = values[missing.index(column)]
                log_p += float(px.conditional_probabilities(filled[None], column)[0, token])
                filled[column] = token
        exact[number(filled)] = math.exp(log_p)
    assert abs(float(exact.sum()) - 1) < 1e-9
    found = torch.bincount(number(drawn), minlength=48) / 20_000
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / 20_000).sqrt() + 1e-4).all()


def test_completion_of_the_last_columns_is_the_exact_conditional() -> None:
    likelihood, raw = chained()
    likelihood.order.copy_(torch.tensor([3, 1, 0, 2]))
    table = joint(likelihood, raw)[0].reshape(TOKENS)[:, 1, :, 0]
    given = torch.tensor([math.nan, 1.0, math.nan, 0.0], dtype=torch.float64)
    drawn, weight = likelihood(raw).completed(given.expand(20_000, 4), torch.Generator().manual_seed(1))
    exact = (table / table.sum()).flatten()
    found = torch.bincount((drawn[:, 0].floor() * 4 + drawn[:, 2].floor()).long(), minlength=12) / 20_000
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / 20_000).sqrt() + 1e-4).all()
    torch.testing.assert_close(weight.exp(), table.sum().expand(20_000))


def test_restricted_draws_lie_inside_and_weigh_as_much_as_the_restriction_is_likely() -> None:
    likelihood, raw = chained()
    px = likelihood(raw)
    empty = torch.full((20_000, 4), math.nan, dtype=torch.float64)
    among = {2: [(0.5, 1.25), (3.0, 4.0)], 0: [(0.0, 1.0), (2.0, 3.0)]}
    drawn, weight = px.completed(empty, torch.Generator().manual_seed(0), among)
    bins, levels = drawn[:, 2], drawn[:, 0].floor()
    assert (((bins >= 0.5) & (bins < 1.25)) | (bins >= 3.0)).all()
    assert (levels != 1).all()
    # By importance: the mean weight is the probability of the restriction, the shares of three quarters of two bins in it.
    share = torch.tensor([0.5, 0.25, 0.0, 1.0], dtype=torch.float64)
    table = joint(likelihood, raw)[0].reshape(TOKENS) * share[:, None]
    table[1] = 0
    assert float(weight.exp().mean()) == pytest.approx(float(table.sum()), rel=0.02)
    found = torch.zeros(3, 4, dtype=torch.float64)
    found.index_put_((levels.long(), bins.long()), weight.exp(), accumulate=True)
    exact = table.sum((1, 3))
    torch.testing.assert_close(found / found.sum(), exact / exact.sum(), atol=0.02, rtol=0)


def test_what_cannot_be_has_no_weight_and_is_drawn_all_the_same() -> None:
    likelihood, raw = chained()
    empty = torch.full((5, 4), math.nan, dtype=torch.float64)
    drawn, weight = likelihood(raw).completed(empty, None, {0: [(0.25, 0.5)]})
    assert (weight == -math.inf).all()
    assert torch.isfinite(drawn).all()


def test_the_probability_of_a_token_is_of_all_but_itself() -> None:
    likelihood, raw = chained(rows=2)
    px = likelihood(raw)
    row = torch.tensor([1.0, 0.0, 2.25, 1.0], dtype=torch.float64)
    found = px.conditional_probabilities(row, 0)
    assert found.shape == (2, 3)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2, dtype=torch.float64))
    likelihood.order.copy_(torch.tensor([3, 2, 1, 0]))  # the column comes last, so the chain says the same
    for token in range(3):
        row[0] = token
        torch.testing.assert_close(likelihood(raw).column_log_prob(row)[:, 0], found[:, token])


@pytest.mark.parametrize("kind", [Pairwise, Shared])
def test_all_columns_at_once_hear_what_each_hears_alone(kind: type[Pairwise] | type[Shared]) -> None:
    layout = Layout((*TOKENS, 2, 2), (*KINDS, "levels", "levels"), (-1, 4, 5, -1, 1, 2), 2)
    torch.manual_seed(0)
    features = Features(layout, 3, presence=True)
    heard = kind(layout, features.owner, 8)
    if isinstance(heard, Shared):
        torch.nn.init.normal_(heard.gain)
    x = torch.cat((every().float(), torch.randint(2, (48, 2)).float()), 1)
    x[torch.rand(x.shape) < 0.2] = math.nan
    order = torch.tensor([4, 1, 0, 2, 5, 3])
    together = heard(features(x), order)
    for place, column in enumerate(order.tolist()):
        before = torch.full_like(x, math.nan)
        before[:, order[:place]] = x[:, order[:place]]
        torch.testing.assert_close(together[:, column], heard.one(heard.gathered(features(before)), column))


def test_wide_tables_sum_to_one_too_and_are_drawn_as_they_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambent.model.likelihoods.autoregressive.PAIRS", 3)
    likelihood, raw = chained(indicates=(1,))
    assert isinstance(likelihood.chain.heard, Shared)
    for order in ORDERS[::5]:
        likelihood.order.copy_(torch.tensor(order))
        assert float(joint(likelihood, raw).sum()) == pytest.approx(1, abs=1e-9)
    likelihood.order.copy_(torch.tensor((2, 1, 0, 3)))  # the indicator last, as it always stands
    exact = joint(likelihood, raw)[0]
    found = torch.bincount(number(likelihood(raw).sample((40_000,))[:, 0]), minlength=48) / 40_000
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / 40_000).sqrt() + 1e-4).all()


def test_an_indicator_and_its_column_do_not_see_each_other() -> None:
    likelihood, raw = chained(indicates=(1,))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        likelihood.order.copy_(torch.tensor(order))
        px = likelihood(raw)
        rows = torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
        both = px.column_log_prob(rows[[0, 0, 1, 1]])
        mixed = rows[[0, 0, 1, 1]].clone()
        mixed[:, 1] = torch.tensor([0.0, 1.0, 0.0, 1.0])
        # Its own column at another value leaves the indicator as likely as it was, all else being equal.
        changed = px.column_log_prob(mixed)
        torch.testing.assert_close(changed[:, 3], both[:, 3])


def test_a_cell_that_is_known_to_be_missing_is_not_seen_by_the_others() -> None:
    """p(x_0, x_2 | indicator of x_1 is 1): as in training, where such a cell is never there."""
    likelihood, raw = chained(indicates=(1,))
    likelihood.order.copy_(torch.tensor((1, 0, 2, 3)))
    rows = every((3, 4))
    told = torch.full((12, 4), math.nan, dtype=torch.float64)
    told[:, [0, 2]], told[:, 3] = rows, 1.0
    likelihood.order.copy_(torch.tensor((3, 0, 2, 1)))
    exact = likelihood(raw.expand(12, -1)).column_log_prob(told)[:, [0, 2]].sum(1).exp()
    likelihood.order.copy_(torch.tensor((1, 0, 2, 3)))
    given = torch.full((40_000, 4), math.nan, dtype=torch.float64)
    given[:, 3] = 1.0
    drawn, _ = likelihood(raw.expand(40_000, -1)).completed(given)
    found = torch.bincount((4 * drawn[:, 0].floor() + drawn[:, 2].floor()).long(), minlength=12) / 40_000
    assert float(exact.sum()) == pytest.approx(1, abs=1e-9)
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / 40_000).sqrt() + 1e-4).all()


def test_the_encoder_does_not_read_the_indicators_that_only_training_has() -> None:
    likelihood, _ = chained(indicates=(1,))
    there, gone = every()[5:6], every()[5:6].clone()
    gone[:, 3] = math.nan
    torch.testing.assert_close(likelihood.seen(there), likelihood.seen(gone))
    assert likelihood.seen(there).shape[1] == len(likelihood.read.owner) + 3


def test_a_last_token_that_training_never_met_is_not_drawn_and_stays_finite() -> None:
    """Column 0 has the last token in no row, column 2 in the rows of the training alone: that one is drawn."""
    likelihood, raw = chained()
    rows = every()
    likelihood.start(rows[(rows[:, 0] < 2) & (rows[:, 2] < 3)].float())
    assert likelihood.met.tolist() == [False, True, False, True]
    likelihood.train()(raw).log_prob(torch.tensor([[0.0, 1.0, 3.2, 0.0]], dtype=torch.float64))
    likelihood.eval()
    assert likelihood.met.tolist() == [False, True, True, True]
    drawn = likelihood(raw).sample((20_000,))[:, 0]
    assert drawn[:, 0].max() < 2
    assert (drawn[:, 2] >= 3).any()
    assert float(joint(likelihood, raw).sum()) == pytest.approx(1, abs=1e-9)
    assert torch.isfinite(likelihood(raw).log_prob(torch.tensor([[2.0, 0.0, 3.9, 1.0]], dtype=torch.float64))).all()
    empty = torch.full((1, 4), math.nan, dtype=torch.float64)
    _, log_share = likelihood(raw).completed(empty, None, {0: [(2.0, 3.0)]})
    assert float(log_share) == -math.inf


def test_the_binned_column_comes_first_and_what_tells_most_follows() -> None:
    torch.manual_seed(0)
    first = torch.randint(8, (4000,))
    noise = torch.randint(3, (4000,))
    second = torch.where(torch.rand(4000) < 0.9, first // 2, torch.randint(4, (4000,)))
    third = torch.where(torch.rand(4000) < 0.9, second // 2, torch.randint(2, (4000,)))
    x = torch.stack((noise, third, second, first), 1).float() + 0.5
    layout = Layout((3, 2, 4, 8), ("levels", "levels", "levels", "bins"), (-1,) * 4, 0)
    assert ordered(layout, x, met(layout, x)) == [3, 2, 1, 0]


def test_mutual_information_of_two_columns() -> None:
    """p = ((.4, .1), (.1, .4)): I = .8 log 1.6 + .2 log .4 nats; of a missing value nothing is told."""
    counts = {(0, 0): 4000, (0, 1): 1000, (1, 0): 1000, (1, 1): 4000}
    rows = [pair for pair, n in counts.items() for _ in range(n)]
    x = torch.tensor([*rows, (math.nan, 1.0), (0.0, math.nan)])
    layout = Layout((2, 2), ("levels", "values"), (-1, -1), 0)
    told = mutual_information(*coarse(layout, x, met(layout, x)))
    exact = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    assert float(told[0, 1]) == pytest.approx(exact - 1 / 20_000, abs=1e-6)
    assert told[0, 0] == 0


def test_it_starts_from_the_frequencies_of_the_tokens() -> None:
    likelihood = Autoregressive(tokens=(3, 4), kinds=("levels", "bins"))
    raw = likelihood.setup((2,))
    x = torch.tensor([[0.0, 0.5]] * 60 + [[1.0, 1.5]] * 30 + [[1.0, 2.2]] * 10)
    likelihood.start(x)
    with torch.no_grad():
        for weight in (*likelihood.chain.heads.weights, *likelihood.chain.heads.smooth.values()):
            weight.zero_()
        px = likelihood.eval()(torch.zeros(*raw))
        found = px.conditional_probabilities(torch.tensor([0.0, 0.0]), 0).exp()
        bins = px.conditional_probabilities(torch.tensor([0.0, 0.0]), 1).exp()
    torch.testing.assert_close(found, torch.tensor([60.3, 40.3, 0.3]) / 100.9)
    torch.testing.assert_close(bins, torch.tensor([60.3, 30.3, 10.3, 0.3]) / 101.2)


def test_single_values_among_bins_are_found_and_speak_for_themselves() -> None:
    torch.manual_seed(0)
    likelihood = Autoregressive(tokens=(3, 5), kinds=("levels", "bins"))
    likelihood.setup((2,))
    spike = torch.stack((torch.zeros(50), torch.full((50,), 2.0)), 1)
    x = torch.cat((spike, torch.stack((torch.ones(200), 4.999 * torch.rand(200)), 1)))
    x = x[(x[:, 1].long() != 2) | (x[:, 1] == 2)]
    likelihood.start(x)
    assert likelihood.read.single.tolist() == [1, 1, 1, 0, 0, 1, 0, 0]
    shown = likelihood.read(torch.tensor([[0.0, 1.5], [0.0, 2.0], [0.0, 3.5]]))[:, likelihood.read.owner == 1]
    vectors = shown[:, : likelihood.read.rank]
    assert (vectors[1] != 0).all()
    assert (vectors[[0, 2]] == 0).all()
    heads = likelihood.chain.heads
    hidden = torch.randn(1, heads.weights[0].shape[1])
    before = heads.logits(hidden, 1)
    with torch.no_grad():
        heads.weights[heads.where[1][0]].add_(1.0)
    moved = (heads.logits(hidden, 1) - before)[0]
    torch.testing.assert_close(moved[[0, 1, 3, 4]], moved[:1].expand(4))
    assert abs(float((moved[2] - moved[0]).detach())) > 0.1


# ---- training ----------------------------------------------------------------------------------------------------


def determined(rows: int = 2000, seed: int = 0) -> Tensor:
    """Three columns of which the first two make the third: c = (a + b) mod 3, but for one row in ten."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randint(3, (2, rows), generator=generator)
    noise = torch.rand(rows, generator=generator) < 0.1
    c = torch.where(noise, torch.randint(3, (rows,), generator=generator), (a + b) % 3)
    return torch.stack((a, b, c), 1).float()


ENTROPY = 2 * math.log(3) - (0.9 + 0.1 / 3) * math.log(0.9 + 0.1 / 3) - 2 * (0.1 / 3) * math.log(0.1 / 3)


def trained(objective: Elbo, **fields: object) -> tuple[LatentModel, dict[str, list[float | None]]]:
    likelihood = Autoregressive(tokens=(3,), width=32, **fields)  # type: ignore[arg-type]
    model = LatentModel(latent=Flat(2), likelihood=likelihood, network=Mlp(width=32, depth=1), gaps=True)
    history = fit(
        model, objective, determined(), epochs=30, batch=100, learning_rate=5e-3, average=0.99, precision="fp32"
    )
    return model, history


def test_it_learns_a_joint_to_its_entropy() -> None:
    model, _ = trained(Elbo(), agnostic=0.5)
    x = determined(4000, 1)
    with torch.no_grad():
        trace = model.trace(x, 1)
        loss = float((trace.kl - trace.log_px).mean())
    assert loss == pytest.approx(ENTROPY, abs=0.05)


def test_a_model_of_random_orders_knows_any_column_given_the_others() -> None:
    model, _ = trained(Elbo(), agnostic=0.5)
    with torch.no_grad():
        px = model.generate(1)
        for column in range(3):
            row = torch.tensor([[1.0, 1.0, 2.0]])
            exact = torch.full((3,), 0.1 / 3)
            exact[int(row[0, column])] += 0.9
            found = px.conditional_probabilities(row, column)[0].exp()
            torch.testing.assert_close(found, exact, atol=0.06, rtol=0)


def test_a_floor_keeps_the_code_in_use_and_no_floor_does_not() -> None:
    _, without = trained(Elbo())
    _, with_floor = trained(Elbo(floor=1.0, settle=0.6))
    assert without["kl"][-1] < 0.3
    assert 0.9 < with_floor["kl"][-1] < 1.3


def test_an_encoder_that_has_settled_stands_still() -> None:
    seen: list[tuple[float, Tensor, Tensor]] = []

    class Watch:
        def on_step(self, run: Run) -> None:
            model = run.model
            inferring = (model.encoder, model.latent.posterior, model.likelihood.read)
            still = torch.cat([p.detach().flatten() for part in inferring for p in part.parameters()])
            moving = torch.cat([p.detach().flatten() for p in model.decoder.parameters()])
            seen.append((run.objective.progress, still.clone(), moving.clone()))

    model = LatentModel(latent=Flat(2), likelihood=Autoregressive(tokens=(3,), width=8), network=Mlp(width=8, depth=1))
    fit(model, Elbo(settle=0.5), determined(400), epochs=5, batch=100, callbacks=[Watch()], precision="fp32")
    before = [still for progress, still, _ in seen if progress <= 0.5]
    after = [(still, moving) for progress, still, moving in seen if progress > 0.5]
    assert not torch.equal(before[0], before[-1])
    assert all(torch.equal(still, before[-1]) for still, _ in after)
    assert not torch.equal(after[0][1], after[-1][1])
    assert all(p.requires_grad for p in model.parameters())


def test_what_is_left_out_hangs_on_the_count_of_steps_alone() -> None:
    likelihood, raw = chained(dropout=0.5, agnostic=0.5)
    likelihood.train()
    rows = every()

    def pass_() -> Tensor:
        return likelihood(raw.expand(48, -1)).log_prob(rows)

    torch.manual_seed(1)
    first = [pass_() for _ in range(4)]
    assert int(likelihood.step) == 4
    likelihood.step.zero_()
    torch.manual_seed(2)
    again = [pass_() for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_the_share_left_out_is_as_asked_for_and_the_mean_is_kept() -> None:
    likelihood, raw = chained(dropout=0.25)
    likelihood.train()
    px = likelihood(raw.expand(4000, -1))
    assert isinstance(px, Chained)
    masks = px.conditionals._masks((4000, 4), px.raw)  # type: ignore[attr-defined]
    assert float((masks == 0).double().mean()) == pytest.approx(0.25, abs=0.003)
    assert float(masks.mean()) == pytest.approx(1.0, abs=0.004)


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "event", "said"),
    [
        ({"tokens": (3, 4)}, (3,), "describes 2 columns and the rows have 3"),
        ({"kinds": ("levels", "bins")}, (3,), "describes 2 columns"),
        ({"indicates": (2,)}, (3,), "names column 2"),
        ({}, (1, 4, 4), "rows of columns"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused(fields: dict[str, object], event: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Autoregressive(**fields).setup(event)  # type: ignore[arg-type]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="bins"):
        Autoregressive(kinds=("bin",))


def test_a_token_that_a_column_has_not_is_refused() -> None:
    likelihood = Autoregressive(tokens=(3, 2))
    likelihood.setup((2,))
    likelihood.check(torch.tensor([[2.9, 1.0]]))
    with pytest.raises(DataError, match="tokens from 0 to 1 in column 1"):
        likelihood.check(torch.tensor([[0.0, 1.0], [0.0, 2.0]]))
