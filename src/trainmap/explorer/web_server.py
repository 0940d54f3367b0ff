"""The explorer in a browser: one page and its questions, on this machine alone unless told otherwise.

What a dataset holds is shown as text and as media, and runs nowhere: the page loads scripts and styles of its own only
(a Content-Security-Policy without inline scripts), media are sent with a type that their bytes told, under a policy
that runs nothing in them, and as attachments where somebody opens them by themselves. A URL names rows, never files.
Another site's page can neither ask (Origin, Sec-Fetch-Site) nor pretend to be this machine (Host).
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trainmap.errors import StoreError, TrainmapError, cause, shown
from trainmap.explorer.answers import Answer, answer
from trainmap.explorer.exploration import Exploration
from trainmap.explorer.page_script import page_html, script, style
from trainmap.files import parse_json

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PORT = 8788
"""Where it is looked for first; where that is taken, on any free one."""
MOST_BYTES = 64 << 20
"""Of a question's body: a selection of a million rows has 8 MB."""
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Of the page. ``unsafe-eval`` is for regl, which writes its drawing code itself, from the shaders alone."""
MEDIA_POLICY = "default-src 'none'; sandbox"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def needs_server() -> None:
    """Say what to install where the server is missing."""
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise TrainmapError("the explorer in a browser needs: pip install 'trainmap[explore]'") from error
    _ = starlette, uvicorn


def make_app(exploration: Exploration, host: str, port: int, token: str = "") -> Starlette:
    """The ASGI application: the page at ``/``, questions below ``/ask/``.

    Args:
        host, port: what it is bound to: a question must name it.
        token: what a browser must know; "" for none.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

    cookie = f"trainmap-{port}"
    files: dict[str, Callable[[], tuple[str, str]]] = {
        "explorer.js": lambda: (script(), "text/javascript"),
        "explorer.css": lambda: (style(), "text/css"),
    }

    def refused(request: Request) -> str:
        if (named := request.headers.get("host", "")) and not _is_ours(named, host, port, bool(token)):
            return f"this explorer is at {host}:{port}, not at {shown(named)}"
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return "the question comes from another site"
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site") and request.url.path != "/":
            return "the question comes from another site"
        if request.method == "POST" and request.headers.get("content-type") != "application/json":
            return "a question must be JSON"
        given = request.cookies.get(cookie, "") or request.query_params.get("token", "")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return "a token is needed: open the address that the command printed"
        return ""

    def plain(status: int, text: str) -> Response:
        return Response(text, status, HEADERS, "text/plain; charset=utf-8")

    async def page(request: Request) -> Response:
        if why := refused(request):
            return plain(403, why)
        if token and request.query_params.get("token"):
            found = RedirectResponse("./", 303, HEADERS)
            found.set_cookie(cookie, token, httponly=True, samesite="strict")
            return found
        return Response(page_html(exploration.title), 200, HEADERS | {"Content-Security-Policy": POLICY}, "text/html")

    async def part(request: Request) -> Response:
        if why := refused(request):
            return plain(403, why)
        content, kind = files[request.url.path.rsplit("/", 1)[-1]]()
        return Response(content, 200, HEADERS | {"Cache-Control": "no-cache"}, kind)

    async def ask(request: Request) -> Response:
        if why := refused(request):
            return plain(403, why)
        try:
            body = parse_json((await _whole(request)).decode()) if request.method == "POST" else None
            path, query = request.path_params["path"], dict(request.query_params)
            found = await run_in_threadpool(answer, exploration, path, query, body)
        except TrainmapError as error:
            return plain(404, str(error))
        except (ValueError, RecursionError) as error:
            return plain(400, cause(error))
        return _response(found)

    return Starlette(
        routes=[
            Route("/", page),
            *(Route(f"/{name}", part) for name in files),
            Route("/ask/{path:path}", ask, methods=["GET", "POST"]),
        ]
    )


def _response(found: Answer) -> Response:
    from starlette.responses import Response

    headers = HEADERS | {"Cache-Control": "no-store"}
    if found.type.startswith(("image/", "audio/")):
        headers |= {"Content-Security-Policy": MEDIA_POLICY, "Content-Disposition": "attachment"}
        headers["Cache-Control"] = "private, max-age=600"
    return Response(found.content, 200, headers, found.type)


async def _whole(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise TrainmapError(f"a question has at most {MOST_BYTES:,} bytes")
    return content


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(named: str, host: str, port: int, token: bool) -> bool:
    """Whether a Host header names this server: a name of the world that was made to lead here does not."""
    if token:  # a browser that was led here by another name has no cookie for it
        return True
    split = urlsplit(f"//{named}")
    try:
        where = split.port or 80
    except ValueError:
        return False
    return where == port and split.hostname is not None and (split.hostname == host or is_loopback(split.hostname))


def bound(host: str, port: int | None) -> socket.socket:
    """A socket that listens; on ``PORT`` or any free port unless told.

    Raises:
        StoreError: the port is taken, or the host is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [PORT, 0] if port is None else [port]:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(128)
        except (OSError, OverflowError) as error:
            found.close()
            if port is None and number:
                continue
            raise StoreError(f"nothing can listen at {host}:{number}: {cause(error)}; choose another port") from error
        return found
    raise StoreError(f"nothing can listen at {host}")


def serve(
    exploration: Exploration,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    on_ready: Callable[[str], Any] = print,
) -> None:
    """Serve an exploration until it is interrupted.

    Args:
        host: 127.0.0.1, this machine alone, unless told; anywhere else needs the token in the address that is printed.
        port: 8788, or any free one where that is taken, unless told.
        browser: open it.
        on_ready: is called with the address.

    Raises:
        TrainmapError: starlette or uvicorn is missing; nothing can listen there.
    """
    check_kind_of(exploration)
    needs_server()
    with closing(bound(host, port)) as listening, closing(exploration.review):
        server, address = _server(exploration, listening, host)
        on_ready(address)
        if browser:
            threading.Timer(0.3, webbrowser.open, [address]).start()
        server.run(sockets=[listening])


def check_kind_of(exploration: Any) -> None:
    """Refuse what is no exploration."""
    if not isinstance(exploration, Exploration):
        raise TrainmapError(f"an exploration is needed, got a {type(exploration).__name__}; make one: trainmap.explore")


@contextmanager
def serving(exploration: Exploration, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """An exploration served by a thread while the body runs; gives its address."""
    check_kind_of(exploration)
    needs_server()
    with closing(bound(host, port)) as listening:
        server, address = _server(exploration, listening, host)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(10)
            exploration.review.close()


def _server(exploration: Exploration, listening: socket.socket, host: str) -> tuple[Any, str]:
    import uvicorn

    number = listening.getsockname()[1]
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    app = make_app(exploration, host, number, token)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none")
    name = f"[{host}]" if ":" in host else host
    return uvicorn.Server(config), f"http://{name}:{number}/" + (f"?token={token}" if token else "")
