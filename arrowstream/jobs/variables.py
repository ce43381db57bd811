"""Variables in the strings of a job: ``${NAME}`` and ``${NAME:-default}``; ``$${`` is the text ``${``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from arrowstream.config.masking import secrets_in
from arrowstream.config.toml_file import Value
from arrowstream.core.hints import did_you_mean

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})?")
_ESCAPE = "$${"


def with_variables(root: Value, variables: Mapping[str, str]) -> Value:
    """Return a job whose strings have the values of variables in place of references to them.

    A string that is one reference and nothing else is read as a number or a boolean where its key needs one.

    Parameters
    ----------
    root
        The job as it is written.
    variables
        Values by name. As in a shell, a default also stands for an empty value.

    Raises
    ------
    JobError
        A variable without a default is not set, or a reference is not closed.
    """
    return replace(root, found=_filled(root, variables))


def _filled(value: Value, variables: Mapping[str, str]) -> Any:
    match value.found:
        case dict():
            return {key: _filled(item, variables) for key, item in value.table().items()}
        case list():
            return [_filled(item, variables) for item in value.items()]
        case str():
            found: Any = _REFERENCE.sub(lambda match: _value(match, value, variables), value.found)
            references = [match for match in _REFERENCE.finditer(value.found) if match["name"]]
            if references and references[0][0] == value.found:
                value.file.given[value.at] = found
        case found:
            references = []
    text = found if isinstance(found, str) else value.file.given.get(value.at, "")
    # Other values are names of columns and SQL, which may stand under any key.
    from_outside = bool(references) or value.file.origin(value.at) is not None
    value.file.secrets.update(secrets_in(_key(value) if from_outside else "", text))
    return found


def _value(match: re.Match[str], value: Value, variables: Mapping[str, str]) -> str:
    """Return what stands in place of one reference."""
    if match[0] == _ESCAPE:
        return "${"
    name, default = match["name"], match["default"]
    if name is None or "${" in (default or ""):
        raise value.error("'${' begins ${NAME} or ${NAME:-default}; the text '${' is written '$${'")
    found = variables.get(name)
    if default is not None and not found:
        return default
    if found is None:
        hint = did_you_mean(name, variables)
        raise value.error(
            f"the variable {name} is not set{f' ({hint})' if hint else ''}; a default is written ${{{name}:-default}}"
        )
    value.file.secrets.update(secrets_in(name, found))
    return found


def _key(value: Value) -> str:
    """Return the key that a value, or the array around it, belongs to."""
    return next((key for key in reversed(value.at) if isinstance(key, str)), "")
