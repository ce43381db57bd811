"""Places of boxes: layers, order, and no two in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.display.layout import NodePair, Placed, place

pytestmark = pytest.mark.once


def placed(nodes: str, *edges: str, aside: str = "") -> Placed:
    return place(
        list(nodes), [(edge[0], edge[1]) for edge in edges], box=100, lane=10, gap=20, aside=set(aside)
    )


def test_a_chain_is_straight() -> None:
    found = placed("abc", "ab", "bc")
    assert found.layers == (("a",), ("b",), ("c",))
    assert set(found.centre.values()) == {50}


def test_nothing_at_all() -> None:
    assert placed("") == Placed((), {}, {})


def test_branches_are_symmetrical() -> None:
    found = placed("abcd", "ab", "ac", "bd", "cd")
    assert found.layers == (("a",), ("b", "c"), ("d",))
    assert found.centre == pytest.approx({"a": 110, "b": 50, "c": 170, "d": 110})


def test_another_input_begins_next_to_where_it_meets() -> None:
    found = placed("abcxyd", "ab", "bc", "xy", "cd", "yd")
    assert found.layers == (("a",), ("b", "x"), ("c", "y"), ("d",))


def test_a_branch_begins_below_its_split() -> None:
    found = placed("abced", "ab", "bc", "ae", "cd", "ed")
    assert found.layers == (("a",), ("b", "e"), ("c",), ("d",))
    assert len(found.ways["e", "d"]) == 1 and found.ways["a", "b"] == ()


def test_what_stands_aside_moves_nothing() -> None:
    found = placed("asbt", "as", "ab", "bt", aside="st")
    assert found.layers == (("a",), ("b", "s"), ("t",))
    assert found.centre["a"] == pytest.approx(found.centre["b"], abs=0.1)
    assert found.centre["s"] == pytest.approx(found.centre["b"] + 120, abs=0.1)


def test_layers_are_ordered_so_that_edges_do_not_cross() -> None:
    found = placed("abxy", "ay", "bx")
    assert found.layers in ((("a", "b"), ("y", "x")), (("b", "a"), ("x", "y")))


@given(st.data(), st.integers(1, 12))
def test_boxes_and_edges_have_room(data: st.DataObject, count: int) -> None:
    nodes = [chr(97 + number) for number in range(count)]
    pairs = [(one, other) for place_, one in enumerate(nodes) for other in nodes[place_ + 1 :]]
    edges: list[NodePair] = data.draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    found = place(nodes, edges, box=100, lane=10, gap=20)
    level = {node: number for number, layer in enumerate(found.layers) for node in layer}
    assert sorted(level) == nodes
    assert all(level[one] < level[other] for one, other in edges)
    spans: list[tuple[int, float, float]] = [(level[node], found.centre[node], 100.0) for node in nodes]
    for (one, other), way in found.ways.items():
        assert len(way) == level[other] - level[one] - 1
        spans += [(level[one] + 1 + number, x, 10.0) for number, x in enumerate(way)]
    assert min(x - size / 2 for _, x, size in spans) == pytest.approx(0)
    for number, (layer, x, size) in enumerate(spans):
        for other_layer, other_x, other_size in spans[number + 1 :]:
            assert layer != other_layer or abs(x - other_x) >= (size + other_size) / 2 + 20 - 0.01
