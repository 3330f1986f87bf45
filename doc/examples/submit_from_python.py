"""
Mail from a program of your own: one service in its process, a message, and what became of it.

    python doc/examples/submit_from_python.py QUEUE_DIRECTORY NEXT_HOP SENDER RECIPIENT...

for instance ``python doc/examples/submit_from_python.py /tmp/spool '[127.0.0.1]:2525' me@example.com you@example.net``.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.outbound import Outbound


def tell(envelope: Envelope, outcome: Outcome) -> None:
    """Called for every outcome, of whatever message."""
    print(f"{envelope.queue_id} {outcome.recipient.address}: {outcome.disposition.value} ({outcome.reason})")


async def main(reactor, queue_directory, next_hop, sender, *recipients):
    parameters = Parameters.from_values({"queue_directory": queue_directory, "relayhost": next_hop})
    outbound = Outbound(parameters, reactor=reactor)
    outbound.outcomes.subscribe(tell)
    outbound.startService()
    try:
        # When this returns, the message is on disk; it will be tried for days, whatever happens to this process.
        receipt = await outbound.submit(sender, recipients, b"Subject: hello\n\nHello from Python.\n")
        print(f"queued as {receipt.queue_id}")
        outcomes = await receipt.first_attempt()
        return all(outcome.status.startswith("2.") for outcome in outcomes)
    finally:
        await outbound.stopService()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
