"""Storage options as users write them: checked at once, and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from arrowstream.config.masking import MASK, masked
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

_PREFIXES: Final = {"s3": ("aws_",), "gs": ("google_",), "az": ("azure_storage_", "azure_")}
_OTHER_NAMES: Final = {"token": "session_token", "default_region": "region", "endpoint": "endpoint_url"}
_NAMES: Final = {
    "s3": (
        "access_key_id",
        "secret_access_key",
        "session_token",
        "region",
        "endpoint_url",
        "allow_http",
        "skip_signature",
        "virtual_hosted_style_request",
    ),
    "gs": ("skip_signature",),
    "az": ("account_name", "account_key"),
    "http": (),
    "https": (),
}
_SHOWN: Final = frozenset(
    {"region", "endpoint_url", "allow_http", "skip_signature", "virtual_hosted_style_request", "account_name"}
)
"""Names of options that are not secrets; any other value is masked."""


@dataclass(frozen=True, repr=False)
class StorageOptions:
    """Options of an object store, by their plain names.

    Parameters
    ----------
    scheme
        Scheme of the URLs that they are for.
    given
        Names, without the prefix of the store, and values.
    """

    scheme: str
    given: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, scheme: str, options: Mapping[str, Any]) -> StorageOptions:
        """Make options of what the user wrote.

        Raises
        ------
        PlanError
            A name is not known, or a value is not text, a number or a truth value.
        """
        found: dict[str, str] = {}
        for name, value in options.items():
            plain = _plain(scheme, name)
            if not isinstance(value, str | int) or plain not in _NAMES[scheme]:
                known = [f"{_PREFIXES[scheme][0]}{each}" for each in _NAMES[scheme]]
                wrong = plain not in _NAMES[scheme]
                raise PlanError(
                    f"a storage option of {scheme}:// is not known"
                    if wrong
                    else "a storage option is not text",
                    expected=", ".join(known) or "no storage options for this scheme",
                    found=f"the name {name!r}"
                    if wrong
                    else f"{name!r} with a value of type {type(value).__name__}",
                    hint=(did_you_mean(str(name), known) if wrong else None)
                    or "the environment variables and files of the store's own tools count too",
                )
            found[plain] = str(value).lower() if isinstance(value, bool) else str(value)
        return cls(scheme, tuple(sorted(found.items())))

    def get(self, name: str) -> str | None:
        """Return the value of an option, by its plain name."""
        return dict(self.given).get(name)

    def is_on(self, name: str) -> bool:
        """Return whether a truth value is given and true."""
        return self.get(name) in ("true", "True", "1")

    def for_polars(self) -> dict[str, str] | None:
        """Return the options with the names that Polars knows; None if there are none."""
        if not self.given:
            return None
        prefix = _PREFIXES[self.scheme][0]
        found = {f"{prefix}{name}": value for name, value in self.given}
        if (self.get("endpoint_url") or "").startswith("http://"):
            found.setdefault("aws_allow_http", "true")
        return found

    def __repr__(self) -> str:
        shown = {name: masked(name, value) if name in _SHOWN else MASK for name, value in self.given}
        return f"StorageOptions({self.scheme!r}, {shown})"


def _plain(scheme: str, name: Any) -> str:
    text = str(name).lower()
    for prefix in _PREFIXES.get(scheme, ()):
        text = text.removeprefix(prefix)
    return _OTHER_NAMES.get(text, text)
