"""The web application of the live page: its files, and what they ask for, as JSON."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arrowstream.page.answers import Answers
from arrowstream.page.files import asset, page_style

_HEADERS: Final = {
    # Nothing but this server is asked for anything, and no markup from rows could do anything either.
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}

_MOST_ROWS: Final = 1_000
"""Largest number of last rows that are sent."""


def application(answers: Answers, hosts: tuple[str, ...] | None, token: str | None) -> Starlette:
    """Return the application.

    Parameters
    ----------
    answers
        What is shown.
    hosts
        The names under which the page may be asked for; None for any. A page of another site, whose name was made to
        point at this machine, asks with its own name.
    token
        What the address must have as ``?token=``, or None if everybody who reaches the port may look.
    """
    middleware = [Middleware(_Headers)]
    if hosts is not None:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False))
    if token is not None:
        middleware.append(Middleware(_Token, token=token))
    return Starlette(
        routes=[
            Route("/", _file("page.html", "text/html")),
            Route("/start.js", _file("start.js", "text/javascript")),
            Route("/page.js", _file("page.js", "text/javascript")),
            Route("/page.css", _text(page_style, "text/css")),
            Route("/state", _json(answers.state)),
            Route("/graph", _json(answers.graph)),
            Route("/history", _json(answers.history)),
            Route("/tail", _tail(answers)),
            Route("/stop", _stop(answers), methods=["POST"]),
        ],
        middleware=middleware,
    )


Answer = Callable[[Request], Response]
"""What answers a request, on a worker thread of the server."""


def _file(name: str, kind: str) -> Answer:
    return _text(lambda: asset(name), kind)


def _text(make: Callable[[], str], kind: str) -> Answer:
    def answer(request: Request) -> Response:
        return Response(make(), media_type=kind)

    return answer


def _json(make: Callable[[], Any]) -> Answer:
    def answer(request: Request) -> Response:
        return Response(_encoded(make()), media_type="application/json")

    return answer


def _encoded(value: Any) -> bytes:
    """Return a value as JSON, half characters as escapes: names of files have them, and so errors may."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(value)))


def _whole(value: Any) -> Any:
    """Return plain values whose texts have no half characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value


def _tail(answers: Answers) -> Answer:
    def answer(request: Request) -> Response:
        stage = request.query_params.get("stage", "")
        rows = request.query_params.get("rows", "20")
        if not re.fullmatch("[0-9]{1,4}", rows) or not 1 <= int(rows) <= _MOST_ROWS:
            return PlainTextResponse(f"rows must be from 1 to {_MOST_ROWS:,}", status_code=400)
        found = answers.tail(stage, int(rows))
        if found is None:
            return PlainTextResponse("the run has no stage of this name", status_code=404)
        return _json(lambda: found)(request)

    return answer


def _stop(answers: Answers) -> Answer:
    def answer(request: Request) -> Response:
        # A form of another site cannot send this header.
        if "x-arrowstream" not in request.headers:
            return PlainTextResponse("the header X-Arrowstream is missing", status_code=403)
        answers.stop()
        return Response(status_code=204)

    return answer


class _Headers:
    """Adds the headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self._app(scope, receive, with_headers)


class _Token:
    """Refuses who does not know the token. Who brings it in the address gets it as a cookie, too."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        # Browsers send cookies to every port of a host: another page there must have another name.
        self._cookie = f"arrowstream_{hashlib.sha256(token.encode()).hexdigest()[:16]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        given = request.query_params.get("token")
        known = given if given is not None else request.cookies.get(self._cookie, "")
        if not hmac.compare_digest(known.encode(), self._token.encode()):
            answer: ASGIApp = PlainTextResponse(
                "open the address with its token, as it was printed", status_code=403
            )
        elif given is not None:
            # The token leaves the address bar, the history and what is copied from them.
            answer = Response(status_code=303, headers={"location": request.url.path})
            # Not "strict": a click on the address in a notebook or mail would then come without the cookie.
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
        else:
            answer = self._app
        await answer(scope, receive, send)
