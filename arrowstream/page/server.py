"""The live page's server, on a thread of its own."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from contextlib import AbstractContextManager, ExitStack
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from arrowstream.core.checks import check_whole
from arrowstream.errors import MissingExtra, PlanError
from arrowstream.page.answers import LOOKS, Answers, Viewed

if TYPE_CHECKING:
    import uvicorn

_EVERY: Final = 0.05
"""Seconds between two looks whether an open page knows that the run has ended."""

_LOCAL: Final = ("127.0.0.1", "localhost", "[::1]")


class PageServer:
    """A running page, made by `Pipeline.serve`. `close` it, or use it in a ``with`` statement."""

    def __init__(
        self,
        server: uvicorn.Server,
        listening: socket.socket,
        token: str | None,
        around: ExitStack,
        answers: Answers,
    ) -> None:
        self._server = server
        self._answers = answers
        self._around = around
        self._host, self._port = str(listening.getsockname()[0]), int(listening.getsockname()[1])
        self._token = token
        self._thread = threading.Thread(
            target=server.run, args=([listening],), name="arrowstream-page", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on; a free one if port 0 was requested."""
        return self._port

    @property
    def url(self) -> str:
        """The address to open, with its token if it has one."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/" + ("" if self._token is None else f"?token={self._token}")

    def close(self) -> None:
        """Stop listening and end the thread. Idempotent.

        If the run has just ended, a page that is open gets the end first, which takes up to two seconds.
        """
        latest = monotonic() + LOOKS
        while self._thread.is_alive() and not self._answers.answered and monotonic() < latest:
            self._thread.join(_EVERY)
        self._server.should_exit = True
        self._thread.join()
        self._around.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<page at {self.url}>"


def serve_page(viewed: AbstractContextManager[Viewed], port: int, host: str, token: str | None) -> PageServer:
    """Serve the page of a run.

    Parameters
    ----------
    viewed
        What is shown, from now on until the server is closed.
    port
        The port; 0 for any free one.
    host
        The address to listen on.
    token
        What the address must have as ``?token=``. None for none on this machine's own address, and else for one that
        is made.

    Raises
    ------
    MissingExtra
        starlette and uvicorn (extra ``notebook``) are not installed.
    PlanError
        The server cannot listen there.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(
            "the live page needs starlette and uvicorn, which are not installed",
            hint="pip install 'arrowstream[notebook]'",
        ) from error
    check_whole("serve(port=...)", port, least=0)
    local = _is_local(host)
    if token is None and not local:
        token = secrets.token_urlsafe(24)
    from arrowstream.page.app import application

    with ExitStack() as stack:
        listening = stack.enter_context(_listen(host, port))
        answers = Answers(stack.enter_context(viewed))
        around = stack.pop_all()
    config = uvicorn.Config(
        application(answers, (*_LOCAL, host) if local else None, token),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return PageServer(uvicorn.Server(config), listening, token, around, answers)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise PlanError(
            "the page cannot be served",
            expected="an address of this machine and a free port",
            found=f"{host}:{port}: {error.strerror or error}",
            hint="serve(port=0) takes any free port",
        ) from None
    return listening
