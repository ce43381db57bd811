"""How a Kafka client proves who it is, and how its connections are encrypted."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from arrowstream.config.masking import MASK
from arrowstream.config.secret_text import read_secret
from arrowstream.core.checks import check_flag
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
MECHANISMS = get_args(Mechanism)

_FLAGS = ("tls", "check_hostname")
_SECRETS = ("password", "key_password", "token")
_PLACES = ("env:", "file:")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """Encryption and login of Kafka connections. Nothing is read before a pipeline runs.

    `password`, `key_password` and `token` are secrets: write ``env:NAME`` or ``file:PATH`` to have them read from a
    variable or from the first line of a file when the connection opens. They are never printed.

    Parameters
    ----------
    tls
        Whether connections are encrypted; True as soon as one of the files is given.
    ca_file
        Certificates (PEM) of the authorities that may sign the server's; by default those of the system.
    cert_file, key_file, key_password
        Certificate of the client (PEM), its private key if that is in a file of its own, and the key's password.
    check_hostname
        Whether the server's certificate must be one for its host name.
    mechanism
        SASL mechanism: ``"PLAIN"``, ``"SCRAM-SHA-256"``, ``"SCRAM-SHA-512"`` or ``"OAUTHBEARER"``.
    username, password
        Login for PLAIN and SCRAM.
    token
        Bearer token for OAUTHBEARER, or a function without arguments that returns it: a coroutine function, which is
        awaited, or a plain one, which runs on a thread. The function is called, or the ``file:PATH`` read, for each
        connection.

    Raises
    ------
    PlanError
        The options do not fit together.

    Examples
    --------
    >>> KafkaSecurity(tls=True, mechanism="PLAIN", username="me", password="hunter2")
    KafkaSecurity(tls=True, mechanism='PLAIN', username='me', password='***')
    """

    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    check_hostname: bool = True
    mechanism: Mechanism | None = None
    username: str | None = None
    password: str | None = None
    token: str | Callable[[], object] | None = None

    def __post_init__(self) -> None:
        for name in _FLAGS:
            check_flag(f"security {name}", getattr(self, name))
        for each in fields(self):
            value = getattr(self, each.name)
            is_function = each.name == "token" and callable(value)
            if not (value is None or isinstance(value, str) or is_function or each.name in _FLAGS):
                raise PlanError(f"security {each.name} takes text", found=f"a {type(value).__name__}")
        if self.mechanism is not None and self.mechanism not in MECHANISMS:
            raise PlanError(
                f"unknown SASL mechanism {self.mechanism!r}",
                expected=", ".join(MECHANISMS),
                hint=did_you_mean(self.mechanism.upper(), MECHANISMS),
            )
        self._check_login()
        if (self.key_file or self.key_password) and not self.cert_file:
            raise PlanError(
                "security has a key but no certificate",
                expected="cert_file",
                hint="give cert_file, the certificate that belongs to the key",
            )

    def _check_login(self) -> None:
        login = {"username": self.username, "password": self.password}
        needed = (
            set() if self.mechanism is None else {"token"} if self.mechanism == "OAUTHBEARER" else set(login)
        )
        given = {name for name, value in {**login, "token": self.token}.items() if value is not None}
        if given != needed:
            raise PlanError(
                f"the login does not fit the SASL mechanism {self.mechanism}",
                expected=" and ".join(sorted(needed, reverse=True)) or "a mechanism with a login",
                found=" and ".join(sorted(given, reverse=True)) or "none of them",
                hint=f"mechanism is one of {', '.join(MECHANISMS)}" if not needed else None,
            )

    @property
    def encrypted(self) -> bool:
        """True if connections use TLS."""
        return self.tls or bool(self.ca_file or self.cert_file)

    @property
    def protocol(self) -> str:
        """Kafka's name of the combination: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``."""
        return ("SASL_" if self.mechanism else "") + ("SSL" if self.encrypted else "PLAINTEXT")

    def client_options(self) -> dict[str, Any]:
        """Read the secrets and certificates; return the options of an aiokafka client.

        Raises
        ------
        PlanError
            A secret, a certificate or a key cannot be read.
        """
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.encrypted:
            options["ssl_context"] = self._ssl_context()
        if self.mechanism == "OAUTHBEARER":
            from arrowstream.io.kafka.token import TokenProvider

            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_oauth_token_provider": TokenProvider(self.token or ""),
            }
        elif self.mechanism is not None:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": read_secret("password", self.password or ""),
            }
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = self.check_hostname
            if self.cert_file is not None:
                password = (
                    None if self.key_password is None else read_secret("key_password", self.key_password)
                )
                # Without a password OpenSSL would ask for it on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, lambda: password or "")
        except (OSError, ssl.SSLError) as error:
            files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
            raise PlanError(
                "the certificates of the Kafka connection cannot be read",
                expected="PEM files, and the key's password if it has one",
                found=f"{error}, with "
                + ", ".join(f"{name}={path!r}" for name, path in files.items() if path),
            ) from error
        return context

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        given = [each.name for each in fields(self) if values[each.name] != each.default]
        shown = {
            name: MASK if name in _SECRETS and not str(values[name]).startswith(_PLACES) else values[name]
            for name in given
        }
        return f"KafkaSecurity({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def security_of(value: object) -> KafkaSecurity | None:
    """Return the options that a user gives: an object, a table of its arguments, or None.

    Raises
    ------
    PlanError
        `value` is something else, or has an argument that does not exist.
    """
    if value is None or isinstance(value, KafkaSecurity):
        return value
    if not isinstance(value, Mapping):
        raise PlanError(
            "security takes options of a Kafka connection",
            expected="KafkaSecurity(...), or a table of its arguments",
            found=f"a {type(value).__name__}",
        )
    known = [each.name for each in fields(KafkaSecurity)]
    for name in value:
        if name not in known:
            raise PlanError(
                f"security has no option {name!r}",
                expected=", ".join(known),
                hint=did_you_mean(str(name), known),
            )
    return KafkaSecurity(**value)
