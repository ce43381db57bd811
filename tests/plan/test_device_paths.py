"""The cheapest path over stages: as cheap as the best of all paths, which are few enough to try."""

from itertools import product

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.path import HOST, Held, Leg, Memory, Path, cheapest, paths

pytestmark = pytest.mark.once

MEMORIES: dict[str, Memory] = {"arrow": None, "polars": None, "gpu": "gpu", "tpu": "tpu"}
Line = tuple[float, float]


def lines(costs: dict[str, Line]) -> dict[str, LineCost]:
    found = {}
    for name, line in costs.items():
        found[name] = LineCost(1.0, 1.0)
        found[name].fixed, found[name].slope = line
    return found


def leg(
    costs: dict[str, Line], up: dict[str, Line], down: dict[str, Line], kept: float = 1.0, least: int = 0
) -> Leg:
    memories = {name: MEMORIES[name] for name in costs}
    limits = {name: least for name, memory in memories.items() if memory is not None}
    return Leg(lines(costs), memories, limits, lines(up), lines(down), kept)


def cost_of(
    legs: list[Leg], end: dict[str, LineCost], rows: float, held: Held, chosen: tuple[str, ...]
) -> float:
    """What a path costs, step by step as a batch goes."""
    spent, where = 0.0, held
    for each, backend in zip(legs, chosen, strict=True):
        memory = each.memories[backend]
        if memory not in where:
            if None not in where:
                spent += min(
                    line.fixed + line.slope * rows for form, line in each.download.items() if form in where
                )
            if memory is not None:
                spent += each.upload[memory].fixed + each.upload[memory].slope * rows
        spent += each.costs[backend].fixed + each.costs[backend].slope * rows
        rows, where = rows * each.kept, frozenset([memory])
    (last,) = where
    return spent + (0.0 if last is None else end[last].fixed + end[last].slope * rows)


def all_paths(legs: list[Leg], rows: float) -> list[tuple[str, ...]]:
    allowed = []
    for each in legs:
        few = [name for name in each.costs if rows >= each.least_rows.get(name, 0)]
        allowed.append(few or list(each.costs))
        rows *= each.kept
    return list(product(*allowed))


def check_best(legs: list[Leg], end: dict[str, LineCost], rows: float, held: Held = HOST) -> Path:
    best = cheapest(legs, end, rows, held)
    least = min(cost_of(legs, end, rows, held, chosen) for chosen in all_paths(legs, rows))
    assert best.predict(rows) == pytest.approx(least)
    assert cost_of(legs, end, rows, held, best.backends) == pytest.approx(least)
    return best


micros, per_row = st.floats(0.0, 500.0), st.floats(0.0, 0.05)
line = st.tuples(micros, per_row)


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Leg], dict[str, LineCost]]:
    forms = ["gpu", "tpu"]

    def edge() -> tuple[dict[str, Line], dict[str, Line]]:
        return {form: draw(line) for form in forms}, {form: draw(line) for form in forms}

    legs = []
    for _ in range(draw(st.integers(1, 5))):
        names = draw(st.lists(st.sampled_from(list(MEMORIES)), min_size=1, max_size=4, unique=True))
        up, down = edge()
        kept, least = draw(st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0])), draw(st.sampled_from([0, 1_000]))
        legs.append(leg({name: draw(line) for name in names}, up, down, kept, least))
    return legs, lines(edge()[1])


@settings(max_examples=examples(100))
@given(
    chain=chains(),
    rows=st.integers(0, 10**8),
    held=st.sets(st.sampled_from([None, "gpu", "tpu"]), min_size=1).map(frozenset),
)
def test_costs_what_the_best_of_all_paths_costs(
    chain: tuple[list[Leg], dict[str, LineCost]], rows: int, held: Held
) -> None:
    legs, end = chain
    check_best(legs, end, rows, held)
    for backend, path in paths(legs, end, rows, held).items():
        assert path.backends[0] == backend
        assert path.predict(rows) == pytest.approx(cost_of(legs, end, rows, held, path.backends))
