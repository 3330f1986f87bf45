"""
The pages of ``--admin``: ``/metrics`` for Prometheus, ``/destinations`` as JSON: why is mail still here?

Read only, and without a password: listen on a loopback address or a UNIX socket.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable

from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Site

from smtpclient.observe.metrics import Metrics
from smtpclient.queue.destination_queue import DestinationState


class _Page(Resource):
    isLeaf = True

    def __init__(self, kind: bytes, text: Callable[[], str]) -> None:
        super().__init__()
        self._kind = kind
        self._text = text

    def render_GET(self, request: IRequest) -> bytes:
        """Answer; twisted.web answers HEAD from this too, and refuses the rest."""
        request.setHeader(b"content-type", self._kind)
        return self._text().encode()


class _QuietSite(Site):
    noisy = False

    def log(self, request: Request) -> None:
        """Who asks is not worth a line in the log: a scraper comes every few seconds."""


def site(metrics: Metrics, destinations: Callable[[], Iterable[DestinationState]]) -> Site:
    """The pages of one service."""

    def as_json() -> str:
        return json.dumps([dataclasses.asdict(state) for state in destinations()], indent=1) + "\n"

    root = Resource()
    root.putChild(b"metrics", _Page(b"text/plain; version=0.0.4; charset=utf-8", metrics.text))
    root.putChild(b"destinations", _Page(b"application/json", as_json))
    return _QuietSite(root)
