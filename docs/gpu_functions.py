"""The functions of the GPU backend, for the page about it: ``python -m docs.gpu_functions`` writes them there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docs.docstrings import ROOT

PAGE = ROOT / "docs" / "guide" / "gpu.md"
_MARKED = re.compile(r"(?<=<!-- functions -->\n).*?(?=<!-- end -->)", re.DOTALL)
_FAMILIES = {"str.": "text", "dt.": "dates and times"}


def table() -> Iterator[str]:
    """The functions that run on a GPU by family, and those that don't with the reason."""
    from arrowstream.gpu.kernels.registry import KERNELS, REFUSED
    from arrowstream.gpu.types import held_types

    families: dict[str, list[str]] = {}
    for name in sorted(KERNELS):
        family = next((text for start, text in _FAMILIES.items() if name.startswith(start)), "all types")
        families.setdefault(family, []).append(f"`{name}`")
    yield from ("| | functions |", "|---|---|")
    for family, names in families.items():
        yield f"| {family} | {', '.join(names)} |"
    yield from (
        "",
        f"Types that it holds, as Arrow calls them: {', '.join(f'`{name}`' for name in held_types())}.",
    )
    reasons: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    yield from ("", "| not there, because | functions |", "|---|---|")
    for reason, names in reasons.items():
        yield f"| {reason} | {', '.join(names)} |"


def with_functions(page: str) -> str:
    """Return the page with the functions in their place."""
    return _MARKED.sub("\n" + "\n".join(table()) + "\n\n", page)


if __name__ == "__main__":
    PAGE.write_text(with_functions(PAGE.read_text()))
    print(f"the functions of the GPU in {PAGE.relative_to(ROOT)}")
