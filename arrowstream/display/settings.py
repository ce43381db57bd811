"""Settings as HTML: each with its value, secrets masked, and where it comes from."""

from __future__ import annotations

from arrowstream.config.settings import DEFAULT, Settings
from arrowstream.core.plural import counted
from arrowstream.display.style import shown
from arrowstream.display.tables import head, table


def settings_html(settings: Settings) -> str:
    """Return a table of settings, those that were given first."""
    rows = sorted(settings.table(), key=lambda row: row[2] == DEFAULT)
    given = sum(origin != DEFAULT for _, _, origin in rows)
    words = f"{counted(given, 'values')} given, all others are defaults" if given else "defaults"
    return shown(head("Settings", "", words), table(("setting", "value", "from"), rows, label="settings"))


def settings_text(settings: Settings) -> str:
    """Return a line for each setting."""
    rows = list(settings.table())
    wide = max(len(key) for key, _, _ in rows)
    return "\n".join(f"{key:{wide}} = {value}  ({origin})" for key, value, origin in rows)
