"""
An explanation as text for people: one line for each thing, indented under what it belongs to.
"""

import time
from collections.abc import Iterator

from smtpclient.delivery.explanation import Explanation, Fate, HostExplanation, Probe, QueueExplanation, SiteExplanation
from smtpclient.observe.maillog import printable

_FATES = {Fate.SENT: "would be sent", Fate.DEFERRED: "would wait", Fate.BOUNCED: "would be returned"}


def lines(explanation: Explanation, *, now: float, dialogue: bool = False) -> Iterator[str]:
    """
    The whole text, a line each, without their ends.

    :param now: seconds since the epoch.
    :param dialogue: also what was said to each server and back.
    """
    for line in _lines(explanation, now, dialogue):
        yield printable(line)


def _lines(explanation: Explanation, now: float, dialogue: bool) -> Iterator[str]:
    sender = f" from {explanation.sender}" if explanation.sender else ""
    yield f"{explanation.recipient}{sender}: {_FATES[explanation.fate]}"
    yield f"  transport {explanation.transport} ({explanation.transport_from})"
    if explanation.refusal:
        yield f"    {explanation.refusal}"
    else:
        yield f"  next hop {explanation.next_hop} ({explanation.next_hop_from})"
    for site in explanation.sites:
        yield from _site(site, dialogue)
    if explanation.queue is not None:
        yield from _queue(explanation.queue, now)
    if explanation.destination is not None:
        yield from _destination(explanation, now)


def _site(site: SiteExplanation, dialogue: bool) -> Iterator[str]:
    if site.fallback:
        yield f"  fallback relay {site.next_hop} (smtp_fallback_relay)"
    if site.failure:
        yield f"  {_FATES[site.failure_fate]}: {site.failure}"
    if site.hosts:
        what = "mail exchangers" if site.mx else "addresses"
        yield f"  {what}{', validated by DNSSEC' if site.secure else ''}, in the order of this attempt:"
    for number, host in enumerate(site.hosts, 1):
        yield from _host(number, host, is_mx=site.mx, dialogue=dialogue)
    for sentence in site.skipped:
        yield f"  left out: {sentence}"


def _host(number: int, host: HostExplanation, *, is_mx: bool, dialogue: bool) -> Iterator[str]:
    preference = f" (preference {host.preference})" if is_mx else ""
    yield f"    {number}. {host.host}[{host.address}]:{host.port}{preference}"
    tls = host.tls
    if tls.problem:
        yield f"       TLS: {tls.level or 'not contacted'}: {tls.problem}"
    else:
        yield f"       TLS: {tls.level} ({tls.source}): {tls.sentence}"
    for match in tls.match:
        yield f"         {match}"
    if host.login is not None:
        how = " with an access token" if host.login.token else ""
        yield f"       login: as {host.login.username}{how} (smtp_sasl_password_maps: {host.login.key})"
    if host.probe is not None:
        yield from _probe(host.probe, dialogue)


def _probe(probe: Probe, dialogue: bool) -> Iterator[str]:
    yield f"       tried: mail {_FATES[probe.fate]}{': ' + probe.reason if probe.reason else ''}"
    if probe.tls:
        yield f"         {probe.tls}"
    if probe.login:
        yield f"         login: {probe.login}"
    if probe.extensions:
        yield f"         extensions: {', '.join(probe.extensions)}"
    for line in probe.dialogue if dialogue else ():
        yield f"         {line}"


def _queue(queue: QueueExplanation, now: float) -> Iterator[str]:
    if not queue.messages:
        yield "  queue: no mail waits for this destination" + ("" if queue.complete else ", as far as was looked")
        return
    count = f"{queue.messages} message{'' if queue.messages == 1 else 's'}"
    people = f"{queue.recipients} recipient{'' if queue.recipients == 1 else 's'}"
    more = "" if queue.complete else " or more"
    held = f", {queue.held} of them on hold" if queue.held else ""
    yield f"  queue: {count}{more} for {people}{held}"
    if queue.held < queue.messages:
        yield f"    next attempt: {_moment(queue.next_attempt, now)}"


def _destination(explanation: Explanation, now: float) -> Iterator[str]:
    state = explanation.destination or {}
    if not state:
        yield "  service: knows nothing of this destination now"
        return
    yield f"  service: {state.get('running')} deliveries under way of {state.get('window')} at a time"
    if state.get("suspended"):
        until = state.get("until")
        moment = _moment(until, now) if isinstance(until, int | float) else "?"
        yield f"    suspended until {moment}: {state['suspended']}"


def _moment(moment: float, now: float) -> str:
    if moment <= now:
        return "now"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
