"""Client of a schema registry, for worker threads: a call waits for its answer."""

from __future__ import annotations

import base64
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from arrowstream.config.secret_text import read_secret
from arrowstream.core.duration import seconds
from arrowstream.errors import SinkError, SourceError
from arrowstream.io.messages.registry.options import SchemaRegistry

if TYPE_CHECKING:
    import urllib.request

_CONTENT: Final = "application/vnd.schemaregistry.v1+json"
_KEPT: Final = 1_000
"""Number of schemas that a client keeps."""

_MOST_BYTES: Final = 16 << 20
"""Most bytes of an answer that is read."""

_FIRST_WAIT_S: Final = 0.1
_MISSING_S: Final = 30.0
"""Seconds after which an unknown id is asked for again."""

_HINTS: Final = {
    401: "give user= and password=, or token=",
    403: "the login may not do this: ask who runs the registry",
    409: "the schema breaks the compatibility rules of its subject: add only fields that have a default",
    422: "the registry cannot read the schema, or does not know its format",
}


class UnknownSchema(Exception):
    """The registry has no schema of an id."""


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema of a registry.

    Parameters
    ----------
    kind
        Its format: ``"AVRO"``, ``"PROTOBUF"`` or ``"JSON"``.
    text
        The schema as it was registered.
    references
        Texts of the schemas that it names, by these names.
    """

    kind: str
    text: str
    references: dict[str, str]


class RegistryClient:
    """Client that keeps what it has read, for one run.

    Parameters
    ----------
    registry
        Address and login.
    error
        Class of the errors for a registry that does not answer as it should.
    """

    def __init__(self, registry: SchemaRegistry, error: type[SourceError | SinkError]) -> None:
        self._registry = registry
        self._error = error
        self._schemas: OrderedDict[int, RegisteredSchema] = OrderedDict()
        self._missing: OrderedDict[int, float] = OrderedDict()

    def schema(self, number: int) -> RegisteredSchema:
        """Return the schema of an id.

        Raises
        ------
        UnknownSchema
            The registry does not have it; an id is asked for again after 30 s.
        SourceError, SinkError
            The registry does not answer as it should.
        """
        if number in self._schemas:
            self._schemas.move_to_end(number)
            return self._schemas[number]
        now = time.monotonic()
        if now - self._missing.get(number, -_MISSING_S) < _MISSING_S:
            raise UnknownSchema
        answer = self._asked("GET", f"/schemas/ids/{number}")
        if answer is None:
            self._missing.pop(number, None)
            _keep(self._missing, number, now)
            raise UnknownSchema
        found = self._registered(answer, set())
        _keep(self._schemas, number, found)
        return found

    def register(self, subject: str, kind: str, text: str) -> int:
        """Return the id of a schema under a subject; register it if the subject does not have it.

        Raises
        ------
        SourceError, SinkError
            The registry refuses the schema, or does not answer as it should.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._asked("POST", path, {"schema": text, "schemaType": kind})
        number = (answer or {}).get("id")
        if not isinstance(number, int):
            raise self._wrong("POST", path, "an answer without the id of the schema")
        return number

    def _registered(self, answer: dict[str, Any], around: set[tuple[str, int]]) -> RegisteredSchema:
        """Return a schema with all that it names, directly or not; `around` are the versions that name it."""
        references: dict[str, str] = {}
        try:
            text, kind = str(answer["schema"]), str(answer.get("schemaType", "AVRO"))
            for each in answer.get("references") or []:
                version = str(each["subject"]), int(each["version"])
                if version in around:
                    continue
                path = f"/subjects/{quote(version[0], safe='')}/versions/{version[1]}"
                named = self._asked("GET", path)
                if named is None:
                    raise self._wrong("GET", path, "a schema names this version, which is not there")
                inner = self._registered(named, {*around, version})
                references |= {**inner.references, str(each["name"]): inner.text}
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong("GET", "/schemas", f"an answer that is not a schema ({error!r})") from error
        return RegisteredSchema(kind, text, references)

    def _asked(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """Return what the registry answers; None if it answers that it does not have this."""
        wait = _FIRST_WAIT_S
        for attempt in range(self._registry.tries):
            if attempt:
                time.sleep(wait)
                wait *= 2
            status, content = self._answer(method, path, body)
            if status == 200:
                try:
                    return dict(json.loads(content))
                except (ValueError, TypeError, RecursionError) as error:
                    raise self._wrong(
                        method, path, f"an answer that is not a JSON object ({error})"
                    ) from error
            if status == 404 and method == "GET":
                return None
            if status is not None and status != 429 and status < 500:
                break
        what = content.decode(errors="replace")[:200]
        raise self._wrong(method, path, what if status is None else f"status {status}: {what}", status)

    def _answer(self, method: str, path: str, body: object) -> tuple[int | None, bytes]:
        """Return status and content of an answer; None and why, if there is none."""
        import http.client
        import urllib.error
        import urllib.request

        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": _CONTENT, "Content-Type": _CONTENT, **self._login()}
        url = self._registry.url.rstrip("/") + path
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=seconds(self._registry.timeout)) as answer:
                content = answer.read(_MOST_BYTES + 1)
                return (
                    (200, content)
                    if len(content) <= _MOST_BYTES
                    else (None, b"an answer of more than 16 MiB")
                )
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(1_000)
        except (OSError, http.client.HTTPException) as error:
            return None, f"no answer ({error})".encode()

    def _login(self) -> dict[str, str]:
        registry = self._registry
        if registry.token is not None:
            token = read_secret("token", registry.token)
            if not token.isascii() or not token.isprintable():
                # Python's own error would show it.
                raise self._error(
                    "the token for the schema registry cannot be sent",
                    expected="ASCII characters in one line",
                    found="others, such as a line end",
                    hint="look at where the token comes from: the variable, the file, or the program",
                )
            return {"Authorization": f"Bearer {token}"}
        if registry.user is not None:
            both = f"{registry.user}:{read_secret('password', registry.password or '')}".encode()
            return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
        return {}

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        import ssl
        import urllib.request

        class Stay(urllib.request.HTTPRedirectHandler):
            """Follows no redirect: the login would be sent to another host."""

            def redirect_request(self, *_: Any) -> None:
                return None

        if self._registry.url.startswith("http:"):
            return urllib.request.build_opener(Stay)
        try:
            context = ssl.create_default_context(cafile=self._registry.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise self._error(
                "the certificates for the schema registry cannot be read",
                expected="a PEM file",
                found=f"{self._registry.ca_file!r}: {error}",
            ) from error
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay)

    def _wrong(
        self, method: str, path: str, found: str, status: int | None = None
    ) -> SourceError | SinkError:
        return self._error(
            f"the schema registry does not answer as it should: {method} {self._registry.url.rstrip('/')}{path}",
            expected="a registry with Confluent's protocol",
            found=found,
            hint=_HINTS.get(status or 0, "check the address, and whether the registry runs"),
        )


def _keep(kept: OrderedDict[int, Any], number: int, value: Any) -> None:
    """Add a value, in place of the one that was used longest ago if there are `_KEPT`."""
    kept[number] = value
    if len(kept) > _KEPT:
        kept.popitem(last=False)
