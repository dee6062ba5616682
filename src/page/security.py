"""Who may ask the page: a browser on this machine that shows the page itself. Everybody else gets 403.

The page has no password. Without these checks any website that is open in the same browser could use it, directly or by a name
that it points to 127.0.0.1 (DNS rebinding).
"""

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")  # any port: an SSH tunnel changes it
LARGEST = 1_000_000  # bytes of a request

# Scripts, styles and pictures come from the page's own address alone; data: and blob: are pictures and downloads that it makes.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class SameOrigin:
    """ASGI middleware: refuses foreign hosts, origins and large requests, and adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no WebSocket is answered

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        if problem := refusal(scope["method"], scope["path"], Headers(scope=scope)):
            answer = JSONResponse({"error": problem}, status_code=403)
            return await answer(scope, receive, with_headers)
        return await self.app(scope, receive, with_headers)


def refusal(method: str, path: str, headers: Headers) -> str:
    """Why a request is refused, empty if it is not."""
    host = headers.get("host", "")
    if not HOSTS.fullmatch(host):
        return "this page answers to 127.0.0.1 and localhost alone"
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and origin != f"http://{host}":
        return "another origin"
    link = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"  # on another site, to the page
    if site not in ("same-origin", "none") and not link:
        return "another site"
    if method not in ("GET", "HEAD"):
        if origin is None:
            return "no origin"
        if headers.get("content-type") != "application/json":
            return "not JSON"
        length = headers.get("content-length", "")
        if not (length.isdigit() and int(length) <= LARGEST):
            return f"more than {LARGEST:,} bytes"
    return ""
