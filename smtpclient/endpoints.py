"""
What the service listens on besides its queue directory: submission (``--submission``) and numbers (``--admin``).

Imported only when one of them is asked for: a service that has neither starts quicker.
"""

from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory

from smtpclient.observe import page
from smtpclient.observe.metrics import Metrics
from smtpclient.outbound import Outbound
from smtpclient.submission.acceptance import Acceptor
from smtpclient.submission.access import permit_networks
from smtpclient.submission.server import SubmissionFactory


def serve_submission(outbound: Outbound, reactor: Any, endpoint: str) -> SubmissionFactory:
    """
    Take mail by SMTP for as long as the service runs.

    :raises ValueError: when the endpoint's description makes no sense.
    """
    acceptor = Acceptor(outbound.enqueue, outbound.rules, reactor)
    policy = permit_networks(outbound.parameters.words("mynetworks"))
    factory = SubmissionFactory(acceptor, policy, reactor, maillog=outbound.maillog)
    _serve(outbound, reactor, endpoint, factory)
    return factory


def serve_admin(outbound: Outbound, reactor: Any, endpoint: str) -> None:
    """
    Show numbers and destinations by HTTP for as long as the service runs.

    :raises ValueError: when the endpoint's description makes no sense.
    """
    scheduler = outbound.scheduler
    metrics = Metrics(lambda: len(scheduler), scheduler.destinations)
    outbound.outcomes.subscribe(metrics.count)
    _serve(outbound, reactor, endpoint, page.site(metrics, scheduler.destinations))


def _serve(outbound: Outbound, reactor: Any, endpoint: str, factory: IProtocolFactory) -> None:
    try:
        service = StreamServerEndpointService(serverFromString(reactor, endpoint), factory)
    except (ValueError, TypeError) as why:
        raise ValueError(f"endpoint {endpoint!r}: {why}") from why
    # A port that cannot be had stops the start; without this it would only be logged.
    service._raiseSynchronously = True
    service.setServiceParent(outbound)
