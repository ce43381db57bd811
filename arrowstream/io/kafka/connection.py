"""Starting clients of Kafka within a bounded time, and why one could not start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import AuthenticationFailedError, SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest
from aiokafka.protocol.metadata import MetadataRequest

from arrowstream.io.kafka.repeated_lines import thin_out

START_SECONDS: Final = 10.0
"""Time within which one of the servers must answer."""

STOP_SECONDS: Final = 5.0
"""Time for ending a client and closing its connections, after which they are dropped."""

GRACE_SECONDS: Final = 2.0
"""Time that a start which is given up has to come to its end."""

PROBE_SECONDS: Final = 3.0
"""Time for finding out why no server answered."""

_HINTS: Final = {
    "not valid for": "the server's certificate has other names: connect by one of them, or security "
    "check_hostname=False",
    "CERTIFICATE_VERIFY_FAILED": "security ca_file= takes the certificate of the authority that signed the server's",
    "UnsupportedSaslMechanism": "security mechanism= takes one that the server has enabled",
    "AuthenticationFailed": "check username and password, or the token, of security",
    "closed": "the port may want TLS or a login: security ca_file=, cert_file=, mechanism=",
    "reset": "the port may have no TLS: leave tls and the files out of security, or connect to another port",
}
"""What to do, by a part of what is wrong."""

_HINT: Final = "check host and port, security=, and that the server's advertised listeners can be reached"


async def start(
    client: Any, close: Callable[[Any], Awaitable[None]], servers: str, security: Mapping[str, Any]
) -> None:
    """Start a client of aiokafka, or close it.

    Raises
    ------
    KafkaError, OSError
        No server answered in time, or the login failed.
    """
    thin_out()
    starting = asyncio.ensure_future(_started(client, servers, security))
    try:
        async with asyncio.timeout(START_SECONDS):
            await asyncio.shield(starting)
    except BaseException:
        # In the middle of its start a client would leave a connection open.
        await asyncio.wait({starting}, timeout=GRACE_SECONDS)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await close(client)
        raise


async def _started(client: Any, servers: str, security: Mapping[str, Any]) -> None:
    if security.get("sasl_mechanism") == "OAUTHBEARER":
        await _check_token(servers, security)
    await client.start()


async def _check_token(servers: str, security: Mapping[str, Any]) -> None:
    """Raise AuthenticationFailedError if a server refuses the token: aiokafka would ask it again without end."""
    for host, port, _ in collect_hosts(servers):
        try:
            await _probe(host, port, security)
        except AuthenticationFailedError:
            raise
        except Exception:  # start() finds out whether there is another server
            continue
        return


async def _probe(host: str, port: int, security: Mapping[str, Any]) -> None:
    """Connect to a server, log in and ask for something; raise whatever is wrong."""
    connection = AIOKafkaConnection(host, port, request_timeout_ms=2000, **security)
    is_open = True
    try:
        await connection.connect()
        if security.get("sasl_mechanism") != "OAUTHBEARER":
            await connection.send(MetadataRequest([]))
            return
        # aiokafka does not read the answer to a token. A server that refused it repeats that here.
        answer = await connection.send(SaslAuthenticateRequest(b"\1"))
        if answer.error_code == SaslAuthenticationFailed.errno:
            raise AuthenticationFailedError(f"the token is refused: {answer.error_message}")
    except OSError:
        is_open = False
        raise
    finally:
        closed = connection.close()
        if is_open:  # the end of TLS takes a message of the server
            await asyncio.wait({closed}, timeout=GRACE_SECONDS)


async def reasons(servers: str, security: Mapping[str, Any]) -> str:
    """Return what is wrong with each server, which aiokafka only logs."""
    reasons = []
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            for host, port, _ in collect_hosts(servers):
                try:
                    await _probe(host, port, security)
                except Exception as error:  # whatever it is, it is what is wrong
                    reasons.append(f"{host}:{port}: {str(error) or type(error).__name__}")
    return "; ".join(reasons)


def hint(reasons: str) -> str:
    """Return what to do about the reasons why no server answers."""
    return next((hint for part, hint in _HINTS.items() if part.lower() in reasons.lower()), _HINT)


def no_answer(error: BaseException) -> str:
    """Return what is known of a failed start where servers can be reached."""
    is_late = isinstance(error, TimeoutError)
    return f"no answer within {START_SECONDS:g} s" if is_late else f"{type(error).__name__}: {error}"
