"""
A mail server made with twisted.mail, and the queue behind it: what it takes in, goes out.

    python doc/examples/smtp_front_end.py QUEUE_DIRECTORY NEXT_HOP [ENDPOINT]

for instance ``python doc/examples/smtp_front_end.py /tmp/spool '[127.0.0.1]:2525'``. Ctrl-C ends it; what was not
delivered by then is in the queue directory.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.mail import smtp

from smtpclient.config.parameters import Parameters
from smtpclient.outbound import Outbound
from smtpclient.queue.intake import Rules
from smtpclient.submission.acceptance import Acceptor
from smtpclient.submission.access import permit_networks
from smtpclient.submission.delivery import QueueDelivery


class FrontEnd(smtp.SMTPFactory):
    """Any server of twisted.mail will do; all that it needs is the delivery."""

    protocol = smtp.ESMTP

    def __init__(self, delivery):
        super().__init__()
        self.delivery = delivery

    def buildProtocol(self, addr):
        server = super().buildProtocol(addr)
        server.deliveryFactory = self.delivery
        return server


def main(reactor, queue_directory, next_hop, endpoint="tcp:2526:interface=127.0.0.1"):
    parameters = Parameters.from_values({"queue_directory": queue_directory, "relayhost": next_hop})
    outbound = Outbound(parameters, reactor=reactor)
    acceptor = Acceptor(outbound.enqueue, Rules.from_parameters(parameters), reactor)
    # Whoever is let in here can send to everybody. This lets in what runs on this machine.
    delivery = QueueDelivery(acceptor, permit_networks(["127.0.0.0/8", "[::1]/128"]))

    async def start():
        outbound.startService()
        # Deliveries that are under way get their time to end.
        reactor.addSystemEventTrigger("before", "shutdown", outbound.stopService)
        port = await serverFromString(reactor, endpoint).listen(FrontEnd(delivery))
        print(f"listening on {port.getHost()}", flush=True)

    def give_up(failure):
        print(failure.getErrorMessage(), file=sys.stderr)
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()).addErrback(give_up))
    reactor.run()


if __name__ == "__main__":
    from twisted.internet import reactor

    main(reactor, *sys.argv[1:])
