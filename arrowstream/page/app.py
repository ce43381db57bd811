"""The web application of the live page: its files, and what they ask for, as JSON."""

from __future__ import annotations

import hmac
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec

from arrowstream.display.style import sheet
from arrowstream.page.answers import Answers

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS: Final = files("arrowstream.page") / "assets"
"""The files of the page, which are served as they are."""

_TYPES: Final = {"page.js": "text/javascript", "start.js": "text/javascript"}

_HEADERS: Final = {
    # Nothing but this server is asked for anything, and no markup from rows could do anything either.
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}

_COOKIE: Final = "arrowstream_token"


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
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        response = Response((ASSETS / "page.html").read_bytes(), media_type="text/html")
        if token is not None:
            response.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
        return response

    def script(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((ASSETS / name).read_bytes(), media_type=_TYPES[name])

    def style(request: Request) -> Response:
        return Response(page_style(), media_type="text/css")

    def state(request: Request) -> Response:
        return _json(answers.state())

    def graph(request: Request) -> Response:
        return _json(answers.graph())

    def history(request: Request) -> Response:
        return _json(answers.history())

    def tail(request: Request) -> Response:
        stage = request.query_params.get("stage", "")
        rows = request.query_params.get("rows", "20")
        if not rows.isdecimal() or not answers.has_stage(stage):
            return _refused(404, f"no stage {stage!r}, or not a number of rows: {rows!r}")
        return _json(answers.tail(stage, min(int(rows), 1000)))

    def stop(request: Request) -> Response:
        # A form of another site cannot send this header.
        if "x-arrowstream" not in request.headers:
            return _refused(403, "the header X-Arrowstream is missing")
        answers.stop()
        return Response(status_code=204)

    middleware = [Middleware(_Headers)]
    if hosts is not None:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False))
    if token is not None:
        middleware.append(Middleware(_Token, token=token))
    return Starlette(
        routes=[
            Route("/", page),
            *(Route(f"/{name}", script) for name in _TYPES),
            Route("/page.css", style),
            Route("/state", state),
            Route("/graph", graph),
            Route("/history", history),
            Route("/tail", tail),
            Route("/stop", stop, methods=["POST"]),
        ],
        middleware=middleware,
    )


def page_style() -> str:
    """Return the style sheet of the page: that of everything that is shown, and what the page adds."""
    return sheet() + (ASSETS / "page.css").read_text()


def _json(value: object) -> Response:
    from starlette.responses import Response

    return Response(msgspec.json.encode(value), media_type="application/json")


def _refused(status: int, why: str) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(why, status_code=status)


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
    """Refuses who does not know the token; the page itself keeps it in a cookie."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        if scope["type"] == "http":
            request = Request(scope)
            given = request.query_params.get("token") or request.cookies.get(_COOKIE) or ""
            if not hmac.compare_digest(given.encode(), self._token):
                await _refused(403, "open the address with its token, as it was printed")(scope, receive, send)
                return
        await self._app(scope, receive, send)
