"""A mapping that does not change, and can be pickled and copied, which `types.MappingProxyType` cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value", covariant=True)


class FrozenMapping(Mapping[Key, Value]):
    """The items of another mapping, as they are now.

    Parameters
    ----------
    items
        The mapping, which is copied; none for an empty one.

    Examples
    --------
    >>> FrozenMapping({"arrow": 2})
    {'arrow': 2}
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[Key, Value] | None = None) -> None:
        self._items: dict[Key, Value] = {} if items is None else dict(items)

    def __getitem__(self, key: Key) -> Value:
        return self._items[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        """Return the items as a dict shows them."""
        return repr(self._items)
