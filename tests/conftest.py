"""What all tests share: options, devices, small models, and every registered part with its fields varied.

A new subclass of any family appears in the contracts and in the grid by being registered; nothing here names it.
"""

import dataclasses
import importlib.util
import itertools
import os
import signal
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# Before torch is loaded: two threads on a machine whose processors are busy with other tests would spin for seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# A shell lets what it starts in the background ignore Ctrl-C, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis
import pytest
import torch
from torch import Tensor

import lambent.data
import lambent.objectives.bounds  # each import registers the parts it defines
import lambent.objectives.factor  # noqa: F401
from lambent.distributions import sample
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat, Latent
from lambent.model.likelihoods import Gaussian, Likelihood
from lambent.model.networks import Mlp, Network
from lambent.model.noise import RowNoise, row_keys
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.model.quantizers import Quantizer
from lambent.model.trace import Draw, from_keys
from lambent.objectives import Objective
from lambent.part import Part, Shape, Spec, family, registered

Row = dict[str, Any]
REPOSITORY = Path(__file__).parents[1]
EVENTS: tuple[Shape, ...] = ((1, 6, 5), (4,), (1,))
FAMILIES: dict[str, type[Part]] = {
    "prior": Prior,
    "posterior": Posterior,
    "latent": Latent,
    "likelihood": Likelihood,
    "network": Network,
    "quantizer": Quantizer,
    "objective": Objective,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where truth, contracts and grid run: cpu, cuda, …")
    parser.addoption("--slow", action="store_true", help="run the long statistical tests and the full grid too")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)  # the same bits on every machine, and no waiting where several tests run side by side
    # The gate tries the same few cases each time; --slow tries many, and other ones every time.
    hypothesis.settings.register_profile("gate", max_examples=40, deadline=None, derandomize=True)
    hypothesis.settings.register_profile(
        "slow", max_examples=1500, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.settings.load_profile("slow" if config.getoption("--slow") else "gate")
    config.addinivalue_line("markers", "slow: long statistical tests and the full grid; run with --slow or -m slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or "slow" in config.option.markexpr:
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: give --slow"))


# ---- every part, with its fields varied --------------------------------------------------------------------------


def concrete(kind: type[Part] = Part) -> list[type[Part]]:
    """The library's own concrete parts of a family, in the order of definition."""
    every = [c for c in Part._classes if issubclass(c, kind) and c.__module__.startswith("lambent.")]
    return [c for c in every if not getattr(c, "__abstractmethods__", None) and not c.__name__.startswith("_")]


def small(cls: type[Part]) -> Spec:
    """The part's description with sizes cut down, so that thousands can be built."""
    spec: Spec = {"type": cls.__name__}
    for field in dataclasses.fields(cls):
        default = field.default
        if field.name == "patch":
            spec[field.name] = 2  # as coarse as two resolutions of convolutions
        elif isinstance(default, int) and not isinstance(default, bool) and default > 3:
            spec[field.name] = max(3, field.metadata.get("minimum", 3))
        elif isinstance(default, tuple) and default and isinstance(default[0], int):
            spec[field.name] = [3, 4][: len(default)]
        elif field.name == "layers":
            spec[field.name] = "1x1 /2x2"  # of any image, with the coarsest resolution of any network
    return spec


def variations(kind: type[Part]) -> list[Spec]:
    """Every concrete part of a family: once small, and once more for every other value of every field."""
    found = []
    for cls in concrete(kind):
        start = small(cls)
        found.append(start)
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            now = start.get(field.name, field.default)
            others = _others(hints[field.name], now, field.metadata)
            found += [{**start, field.name: value} for value in others]
    return found


def _others(hint: Any, now: Any, limits: Any) -> list[Any]:
    """Other values that a field may take, from its annotation and its range."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        small = [
            value for value in arguments if not (isinstance(value, int) and value > 4)
        ]  # a stem of 8 leaves nothing
        return [value for value in small if value != now]
    if arguments and typing.get_origin(hint) is not tuple:  # a union
        return [value for argument in arguments for value in _others(argument, now, limits)]
    if hint is bool:
        return [not now]
    if hint in (int, float):
        low = limits.get("minimum", limits.get("above", 0))
        high = limits.get("maximum", limits.get("below", float("inf")))
        tried = (hint(2), hint(1), hint(0.5) if hint is float else 4)
        ends = [limits[side] for side in ("above", "below") if side in limits]  # which are themselves outside
        return [n for n in tried if low <= n <= high and n != now and n not in ends][:1]
    if hint == tuple[int, ...]:
        return [[4]] if now else [[0]]  # what is empty by itself counts the columns of a row, of which there is a first
    if hint == tuple[Likelihood, ...]:
        return [[{"type": "Gaussian"}, {"type": "Categorical", "levels": 3}, {"type": "Poisson"}, {"type": "Gaussian"}]]
    return []


def named(spec: Spec, kind: type[Part]) -> str:
    """A short name for a test: the type, and the fields that are not as `small` has them."""
    start = small(registered(kind)[spec["type"]])
    shown = [f"{k}={'…' if isinstance(v, (list, dict)) else v}" for k, v in spec.items() if start.get(k, ...) != v]
    return "-".join([spec["type"], *shown])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`prior_spec`, `any_likelihood_spec`, …: a test with such an argument runs for each (with its fields varied: any)."""
    for name, kind in FAMILIES.items():
        if f"{name}_spec" in metafunc.fixturenames:
            specs = [small(cls) for cls in concrete(kind)]
            metafunc.parametrize(f"{name}_spec", specs, ids=[s["type"] for s in specs])
        if f"any_{name}_spec" in metafunc.fixturenames:
            specs = variations(kind)
            metafunc.parametrize(f"any_{name}_spec", specs, ids=[named(s, kind) for s in specs])
    if "any_vector_prior_spec" in metafunc.fixturenames:  # all but those over entries of a codebook
        specs = [spec for spec in variations(Prior) if not Prior.from_spec(spec).discrete]
        metafunc.parametrize("any_vector_prior_spec", specs, ids=[named(s, Prior) for s in specs])
    if "any_reading_posterior_spec" in metafunc.fixturenames:  # all but that of a model without an encoder
        specs = [spec for spec in variations(Posterior) if Posterior.from_spec(spec).encodes]
        metafunc.parametrize("any_reading_posterior_spec", specs, ids=[named(s, Posterior) for s in specs])
    if "any_role" in metafunc.fixturenames:
        roles = [(name, spec) for name, kind in FAMILIES.items() if name != "objective" for spec in variations(kind)]
        metafunc.parametrize("any_role", roles, ids=[f"{name}-{named(spec, FAMILIES[name])}" for name, spec in roles])
    if "part" in metafunc.fixturenames:
        parts = concrete()
        metafunc.parametrize("part", parts, ids=[f"{family(c).__name__}-{c.__name__}" for c in parts])


# ---- devices, seeds, data ----------------------------------------------------------------------------------------


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def seed(device: torch.device) -> Callable[[int], torch.Generator]:
    """seed(7): a generator on the device under test."""
    return lambda number: torch.Generator(device).manual_seed(number)


@pytest.fixture
def keyed() -> Callable[..., Draw]:
    """keyed(model, x, 3): a draw of up to eight samples whose noise comes from seed 3 and what each row holds."""

    def made(model: LatentModel, x: Tensor, number: int = 0) -> Draw:
        noise = RowNoise(8, sum(model.latent.sizes_of_levels), x.device)
        return from_keys(noise, row_keys(x, number))

    return made


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("LAMBENT_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder of real data at {folder}; set LAMBENT_DATA")
    return folder


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """script("scripts/name.py"): a program of the repository as a module, its path relative to the root."""

    def loaded(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """Each test starts from the same global random state, whatever ran before."""
    torch.manual_seed(0)


def event_for(spec: Spec) -> Shape:
    """The first of a few event shapes that a likelihood takes; images are tried first."""
    for event in EVENTS:
        try:
            Likelihood.from_spec(spec).setup(event)
        except UsageError:
            continue
        return event
    raise AssertionError(f"{spec} takes none of {EVENTS}")


def rows_for(spec: Spec, event: Shape, n: int, number: int = 0) -> Tensor:
    """Rows that the likelihood holds: draws of it at random parameters, as they would be stored."""
    torch.manual_seed(number)
    likelihood = Likelihood.from_spec(spec)
    raw = likelihood.setup(event)
    with torch.no_grad():
        x = sample(likelihood(torch.randn(n, *raw)), (), torch.Generator().manual_seed(number))
    return x.float()


@pytest.fixture
def rows() -> Callable[..., Tensor]:
    return rows_for


@pytest.fixture
def event() -> Callable[[Spec], Shape]:
    return event_for


@pytest.fixture
def small_model(device: torch.device) -> Callable[..., LatentModel]:
    """small_model(event, latent=…, likelihood=…, network=…): set up on the device under test."""

    def built(shape: Shape = (4,), examples: Tensor | None = None, seed: int = 0, **parts: Any) -> LatentModel:
        parts = {"latent": Flat(2), "likelihood": Gaussian(), "network": Mlp(width=8, depth=1), **parts}
        return LatentModel(**parts).setup(shape, examples, seed).to(device)

    return built


PLAIN: Row = {
    "latent": {"type": "Flat", "size": 3},
    "likelihood": {"type": "Gaussian"},
    "network": {"type": "Mlp", "width": 5, "depth": 1},
}


def in_company(specs: Row) -> Row:
    """The described parts, and beside them the plainest that serve.

    A prior over entries with codes that are entries, a network that gives maps with codes that are maps; without a posterior for
    a latent that has none of its own to choose, and without an encoder for an objective that teaches none.
    """
    row = {name: spec for name, spec in specs.items() if spec}
    if "latent" not in row and "prior" in row and Prior.from_spec(row["prior"]).discrete:
        row["latent"] = {"type": "Codebook", "quantizer": {"type": "Finite", "levels": [3, 2]}}
    if "quantizer" in row:
        row["latent"] = {"type": "Codebook", "quantizer": row.pop("quantizer")}
    if "objective" in row and not Objective.from_spec(row["objective"]).encodes:
        row.setdefault("posterior", {"type": "Absent"})
    row = PLAIN | on_one_support(row)
    latent = registered(Latent)[row["latent"]["type"]]
    if latent.takes == "maps" and "network" not in specs:
        row["network"] = {"type": "Conv", "channels": [3, 4], "width": 5}
    return {
        name: spec for name, spec in row.items() if name != "posterior" or has(latent, name) or has(latent, "content")
    }


def on_one_support(row: Row) -> Row:
    """A prior or a posterior alone over another space than the default of the other, with the first that goes with it."""
    given = [name for name in ("prior", "posterior") if name in row]
    if len(given) != 1:
        return row
    other = {"prior": "posterior", "posterior": "prior"}[given[0]]
    support = FAMILIES[given[0]].from_spec(row[given[0]]).support
    if support in (None, "space"):
        return row
    return row | {other: next(small(cls) for cls in concrete(FAMILIES[other]) if cls.support == support)}


def has(cls: type[Part], name: str) -> bool:
    """Whether the part has a field of that name."""
    return name in {field.name for field in dataclasses.fields(cls)}


def context_for(spec: Spec, n: int) -> Tensor | None:
    """Two categories by turns for n rows, where the objective is about a context; else none."""
    return torch.eye(2)[torch.arange(n) % 2] if Objective.from_spec(spec).needs_context else None


@pytest.fixture
def context() -> Callable[[Spec, int], Tensor | None]:
    return context_for


def assembled_from(seed: int = 0, context: int = 0, **specs: Any) -> tuple[LatentModel, Tensor]:
    """A small model of the described parts, by family name, not set up; and eight rows that its likelihood holds."""
    row = in_company(specs)
    inner = {name: row[name] for name in ("prior", "posterior") if name in row}
    of_content = has(registered(Latent)[row["latent"]["type"]], "content")
    latent = row["latent"] | ({"content": {"type": "Flat", "size": 3} | inner} if of_content else inner)
    likelihood, network = row["likelihood"], row["network"]
    parts = {"latent": latent, "likelihood": likelihood, "network": network}
    model = LatentModel.from_spec({"type": "LatentModel", "context": context, **parts})
    return model, rows_for(likelihood, event_for(likelihood), 8, seed)


@pytest.fixture
def assembled(device: torch.device) -> Callable[..., tuple[LatentModel, Tensor]]:
    """assembled(prior=spec, …): a model with those parts, set up on the device under test, and rows for it."""

    def built(seed: int = 0, **specs: Spec | None) -> tuple[LatentModel, Tensor]:
        model, x = assembled_from(seed, **specs)
        return model.setup(tuple(x.shape[1:]), x, seed).to(device), x.to(device)

    return built


@pytest.fixture
def unassembled() -> Callable[..., tuple[LatentModel, Tensor]]:
    return assembled_from


@pytest.fixture
def vary() -> Callable[[type[Part]], list[Spec]]:
    return variations


@pytest.fixture(scope="session")
def smalls() -> dict[str, list[Spec]]:
    """All concrete parts of each family, small, by the family's field name."""
    return {name: [small(cls) for cls in concrete(kind)] for name, kind in FAMILIES.items()}


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[dict[str, Any]]]:
    return covering


def covering(axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Rows that hold every pair of values of every two axes at least once, chosen greedily."""
    names = list(axes)
    left = {
        (a, i, b, j)
        for a, b in itertools.combinations(names, 2)
        for i in range(len(axes[a]))
        for j in range(len(axes[b]))
    }
    chosen = []
    while left:
        a, i, b, j = min(left)
        row = {a: i, b: j}
        for name in names:
            if name not in row:
                row[name] = max(
                    range(len(axes[name])),
                    key=lambda k, name=name: sum(_pair(names, name, k, o, v) in left for o, v in row.items()),
                )
        left -= {_pair(names, x, row[x], y, row[y]) for x, y in itertools.combinations(names, 2)}
        chosen.append({name: axes[name][row[name]] for name in names})
    return chosen


def _pair(names: list[str], a: str, i: int, b: str, j: int) -> tuple[str, int, str, int]:
    return (a, i, b, j) if names.index(a) < names.index(b) else (b, j, a, i)


assert registered(Likelihood), "the library registers its parts on import"
