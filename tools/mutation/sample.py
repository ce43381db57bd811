"""A share of the mutants, drawn file by file with a fixed seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cosmic_ray.operators.operator import Operator

from tools.mutation.mutants import Mutant, mutants, targets


@dataclass(slots=True)
class Census:
    """All that can be mutated: how much there is, what is left out, and the places in the order of the draw."""

    mutants: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[Mutant]] = field(default_factory=dict)

    def drawn(self, share: float) -> list[Mutant]:
        """At least this share of each file; a larger share contains a smaller one."""
        found = []
        for ordered in self.places.values():
            count = -int(-share * len(ordered) // 1)
            found += [(number / len(ordered), mutant) for number, mutant in enumerate(ordered[:count])]
        return [mutant for _, mutant in sorted(found, key=lambda each: (each[0], each[1].path))]


def census(root: Path, kinds: dict[str, Operator], seed: int, only: Sequence[str] = ("",)) -> Census:
    """Count and shuffle; of mutants that differ only in what is put in, one is drawn.

    Only modules with one of the texts of `only` in their path take part.
    """
    counted = Census()
    for path in targets(root):
        if not any(part in path for part in only):
            continue
        places: defaultdict[tuple[str, int, int, str], list[Mutant]] = defaultdict(list)
        for mutant, reason in mutants(path, (root / path).read_text(), kinds):
            if reason is None:
                counted.mutants += 1
                places[mutant.place].append(mutant)
            else:
                counted.left_out[reason] += 1
        draw = random.Random(f"{seed} {path}")
        ordered = [draw.choice(found) for _, found in sorted(places.items())]
        draw.shuffle(ordered)
        if ordered:
            counted.places[path] = ordered
    return counted
