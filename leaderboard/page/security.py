"""Who may ask the page for anything, and what a browser may do with its answers.

On loopback whoever is on this machine may look, and a name that another site made point here may not (DNS
rebinding). On any other address a token is needed for everything: it comes once in the address, and is then
a cookie that no script can read and no other site can send.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from flask import Flask, Request, Response, redirect, request

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "paretosr-token"


def policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy of the page, whose own inline scripts have `script_hashes`.

    No script is made from text ('unsafe-eval' is not needed: the table is only given functions by name).
    Styles have to be 'unsafe-inline', since plotly and the table write theirs into the page.
    """
    return (
        f"default-src 'none'; script-src 'self' {' '.join(script_hashes)}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    )


def protect(server: Flask, script_hashes: Sequence[str], *, token: str | None) -> None:
    """Guards every route of `server`: pages, callbacks, assets and pictures alike.

    With `token` nothing is answered without it. Without one, only requests to a loopback name are.
    """
    allowed = policy(script_hashes)

    @server.before_request
    def check() -> Response | None:
        if token is None:
            if host_name(request) not in LOOPBACK:
                return _refused(421, "This page answers to 127.0.0.1 and localhost only.")
        elif not _has(request, token):
            given = request.args.get("token", "")
            if request.method == "GET" and same(given, token):
                return _let_in(request, token)
            return _refused(403, "This page needs the address with the token that `nas board` printed.")
        if request.method not in ("GET", "HEAD", "OPTIONS") and not from_this_page(request):
            return _refused(403, "This request came from another page.")
        return None

    @server.after_request
    def describe(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = allowed
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if not request.path.startswith(("/_dash-component-suites/", "/assets/")):
            headers["Cache-Control"] = "no-store"
        return response


def host_name(asked: Request) -> str:
    """The host that a request names, without its port: the port may be another one behind a tunnel."""
    try:
        return (urlsplit(f"//{asked.headers.get('Host', '')}").hostname or "").lower()
    except ValueError:
        return ""


def from_this_page(asked: Request) -> bool:
    """Whether a request that may change something comes from this page, as the browser says.

    A program that is no browser says neither, and could say anything.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = asked.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == asked.headers.get("Host", "").lower()


def same(given: str, token: str) -> bool:
    """Whether the two are equal, in a time that does not say where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8"))


def _has(asked: Request, token: str) -> bool:
    return same(asked.cookies.get(COOKIE, ""), token)


def _let_in(asked: Request, token: str) -> Response:
    """To the same place without the token in the address, which is then in no history and no link."""
    kept = [(key, value) for key, value in asked.args.items(multi=True) if key != "token"]
    path = "/" + asked.path.lstrip("/\\")  # "//other.host" would lead elsewhere
    answer = redirect(path + (f"?{urlencode(kept)}" if kept else ""), code=303)
    assert isinstance(answer, Response)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=asked.is_secure, path="/")
    return answer


def _refused(status: int, why: str) -> Response:
    return Response(f"{why}\n", status=status, mimetype="text/plain")
