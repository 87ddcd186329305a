"""What dicts, lists and tuples hold is found and replaced, wherever it is."""

from typing import NamedTuple

from radenhance.strategies.leaves import leaves_in, map_leaves


class Named(NamedTuple):
    x: int
    items: list


def test_every_leaf_is_mapped_and_the_structure_kept():
    mapped = map_leaves(str, {"a": [1, (2, 3)], "b": Named(4, [5])})
    assert mapped == {"a": ["1", ("2", "3")], "b": Named("4", ["5"])}


def test_leaves_of_a_kind_are_found_in_order():
    assert leaves_in({"a": [1, ("x", 3)], "b": Named(4, [None])}, int) == [1, 3, 4]
    assert leaves_in("x", int) == []
