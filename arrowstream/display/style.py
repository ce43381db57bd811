"""The style of everything that is shown: one sheet, scoped by the class ``arrowstream``, for light and dark.

Colours follow the browser's `prefers-color-scheme`, unless JupyterLab, VS Code, Colab or Sphinx has a theme of its
own, which attributes and classes above the output show. No script, no font, nothing from outside.
"""

from __future__ import annotations

ROOT = "arrowstream"
"""The class of the element around everything that is shown."""

_LIGHT = """
color-scheme:light;--as-text:#1f2328;--as-soft:#59636e;--as-line:#c5ccd3;--as-box:#ffffff;--as-band:#f3f5f7;
--as-edge:#7a8490;--as-source:#0a7d74;--as-plain:#1a62c4;--as-operator:#7a3fc0;--as-meet:#a85b00;--as-sink:#287a35;
--as-side:#b0343c;--as-bad:#fdeeee;"""

_DARK = """
color-scheme:dark;--as-text:#e4e8ec;--as-soft:#a3adb8;--as-line:#4a535d;--as-box:#20252b;--as-band:#2a3037;
--as-edge:#8b96a2;--as-source:#3fc3b6;--as-plain:#6ea8ff;--as-operator:#bd93f5;--as-meet:#eba54d;--as-sink:#68c578;
--as-side:#f2838a;--as-bad:#3b2427;"""

_LIGHT_THEMES = (
    '[data-jp-theme-light="true"]',
    ".vscode-light",
    '[data-md-color-scheme="default"]',
    'html[theme="light"]',
    '[data-theme="light"]',
)
_DARK_THEMES = (
    '[data-jp-theme-light="false"]',
    ".vscode-dark",
    ".vscode-high-contrast:not(.vscode-high-contrast-light)",
    '[data-md-color-scheme="slate"]',
    'html[theme="dark"]',
    '[data-theme="dark"]',
)

_RULES = """
.R{color:var(--as-text);font:13px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
max-width:100%;text-align:left}
.R .as-head{margin:2px 0 8px;display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 10px}
.R .as-head b{font-size:15px;font-weight:600;overflow-wrap:anywhere}
.R .as-what,.R .as-said{color:var(--as-soft)}
.R p{margin:4px 0;color:var(--as-text)}
.R .as-scroll{overflow-x:auto;max-width:100%;padding:2px 0}
.R code,.R pre,.R .as-mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:12px;background:none;color:inherit;padding:0;border:0}
.R pre{margin:6px 0;padding:8px 10px;background:var(--as-band);border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere;line-height:1.5}
.R table.as-table{border-collapse:collapse;margin:4px 0 8px;font-size:12px;color:var(--as-text);border:0;
background:none;table-layout:auto}
.R table.as-table th,.R table.as-table td{text-align:left;vertical-align:top;padding:3px 14px 3px 6px;border:0;
border-bottom:1px solid var(--as-line);background:none;color:inherit;font-weight:400;max-width:460px;
overflow-wrap:anywhere;white-space:normal}
.R table.as-table thead th{color:var(--as-soft);font-weight:600;white-space:nowrap}
.R table.as-table .as-number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;
padding-right:6px;padding-left:14px}
.R table.as-table tbody tr:hover{background:var(--as-band)}
.R details{margin:4px 0}
.R details details{margin:0 0 0 14px}
.R summary{cursor:pointer;color:var(--as-soft);padding:2px 0}
.R summary:hover,.R summary:focus-visible{color:var(--as-text)}
.R .as-error{border-left:3px solid var(--as-side);background:var(--as-bad);border-radius:0 6px 6px 0;
padding:8px 12px;margin:6px 0}
.R .as-error b{color:var(--as-side)}
.R .as-error pre{background:none;padding:0;margin:2px 0 0}
.R .as-lost{color:var(--as-side)}
.R svg.as-graph{display:block;overflow:visible}
.R svg.as-graph text{fill:var(--as-text);stroke:none}
.R .as-box{fill:var(--as-box);stroke:var(--as-line);stroke-width:1}
.R .as-node{outline:none;--as-kind:var(--as-plain)}
.R .as-node.as-source{--as-kind:var(--as-source)}
.R .as-node.as-operator{--as-kind:var(--as-operator)}
.R .as-node.as-split,.R .as-node.as-inputs{--as-kind:var(--as-meet)}
.R .as-node.as-sink{--as-kind:var(--as-sink)}
.R .as-node.as-side{--as-kind:var(--as-side)}
.R .as-bar{fill:var(--as-kind);stroke:none}
.R .as-node:hover .as-box,.R .as-node:focus-visible .as-box{stroke:var(--as-kind)}
.R .as-node:focus-visible .as-box{stroke-width:2.5}
.R .as-output .as-box,.R .as-output:hover .as-box{stroke-dasharray:4 3;stroke:var(--as-line);fill:none}
.R svg.as-graph .as-kind{fill:var(--as-kind);
font:600 10.5px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.R svg.as-graph .as-name{font:600 12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.R svg.as-graph .as-step{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.R svg.as-graph .as-columns{fill:var(--as-soft);
font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.R svg.as-graph .as-note,.R svg.as-graph .as-label{fill:var(--as-soft);
font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.R .as-edge{fill:none;stroke:var(--as-edge);stroke-width:1.4}
.R .as-edge.as-side{stroke-dasharray:5 4}
.R .as-tip{fill:var(--as-edge);stroke:none}
"""


def style() -> str:
    """Return the sheet as a ``<style>`` element."""
    return f"<style>{sheet()}</style>"


def sheet() -> str:
    """Return the sheet."""
    light, dark, rules = (part.replace("\n", "") for part in (_LIGHT, _DARK, _RULES))
    parts = [
        f".{ROOT}{{{light}}}",
        f"@media (prefers-color-scheme:dark){{.{ROOT}{{{dark}}}}}",
        f"{_under(_LIGHT_THEMES)}{{{light}}}",
        f"{_under(_DARK_THEMES)}{{{dark}}}",
        rules.replace(".R", f".{ROOT}"),
    ]
    return "".join(parts)


def shown(*parts: str) -> str:
    """Return parts of HTML as one element with its style.

    Parameters
    ----------
    parts
        Elements, everything in them escaped.
    """
    return f'<div class="{ROOT}">{style()}{"".join(parts)}</div>'


def _under(themes: tuple[str, ...]) -> str:
    return ",".join(f"{theme} .{ROOT}" for theme in themes)
