"""Messages without a pause between them, as Postfix's smtpd(8) understands them."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from tests.interop.private_postfix import accepting
from tests.service.installed import Service, wait_until

COUNT = 40
STRICT = "-o smtpd_forbid_unauth_pipelining=yes -o smtpd_data_restrictions=reject_unauth_pipelining"


class FollowingTests(SynchronousTestCase):
    """The installed service relays to a private Postfix that takes mail and hangs up on who does not keep in step."""

    def test_every_message_arrives_once(self) -> None:
        """All messages go over one session, one right behind the other where they may, and each arrives."""
        for value in ("distinct", "yes"):
            self.check(value)

    def check(self, value: str) -> None:
        """Send them all."""
        postfix, port = accepting(self, STRICT)
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        wishes = {"smtp_destination_concurrency_limit": "1", "smtp_pipeline_messages": value}
        service = Service(base, port, smtp_tls_security_level="none", **wishes)
        self.addCleanup(service.stop)
        service.fill(
            NewMessage("me@client.example", [Recipient(f"u{number}@there.test")], b"Subject: %d\n\nhello\n" % number)
            for number in range(COUNT)
        )
        service.start()
        wait_until(lambda: not service.queued(), 180, f"all is delivered: {service.log_lines()[-5:]}")
        sent = [line for line in service.log_lines() if "status=sent" in line]
        self.assertEqual((COUNT, COUNT), (len(sent), len(list((Path(postfix.queue) / "incoming").iterdir()))))
        self.assertTrue(any(f"conn_use={COUNT}," in line for line in sent), sent[-1])
