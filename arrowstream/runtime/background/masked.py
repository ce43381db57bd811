"""A snapshot without secrets, for viewers that are not the user who gave them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from arrowstream.plan.outline import Node
from arrowstream.runtime.background.snapshot import Snapshot

Hide = Callable[[str], str]
"""Returns a text in which secrets are masked."""


def masked(shown: Snapshot, hide: Hide) -> Snapshot:
    """Return a snapshot whose texts are masked, except for the names of stages and columns, which are keys.

    Parameters
    ----------
    shown
        The snapshot.
    hide
        Masks a text.
    """
    outline = shown.outline
    return replace(
        shown,
        losses=_maybe(shown.losses, hide),
        error=_maybe(shown.error, hide),
        outline=replace(
            outline,
            nodes=tuple(_node(node, hide) for node in outline.nodes),
            query=_maybe(outline.query, hide),
            guarantees=_all(outline.guarantees, hide),
        ),
        stages=tuple(replace(stage, latest_errors=_all(stage.latest_errors, hide)) for stage in shown.stages),
    )


def _node(node: Node, hide: Hide) -> Node:
    return replace(
        node,
        label=hide(node.label),
        steps=_all(node.steps, hide),
        reads=_all(node.reads, hide),
        backend=_maybe(node.backend, hide),
        guarantee=_maybe(node.guarantee, hide),
        policies=_all(node.policies, hide),
        remark=_maybe(node.remark, hide),
    )


def _all(texts: tuple[str, ...], hide: Hide) -> tuple[str, ...]:
    return tuple(map(hide, texts))


def _maybe(text: str | None, hide: Hide) -> str | None:
    return None if text is None else hide(text)
