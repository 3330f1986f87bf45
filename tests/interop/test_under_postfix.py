"""
Our program in master.cf, in place of Postfix's smtp(8): what the queue manager, bounce(8) and verify(8) make of it.
"""

import os
import re
import signal
import smtplib
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.private_postfix import LOOPBACK
from tests.interop.recording_sink import RecordingSink, Transaction
from tests.interop.under_postfix import UnderPostfix, program, under_postfix
from tests.ports import free_port
from tests.service.installed import wait_until

_CHANGING = re.compile(rb"^(Received: .*\r\n(?:\t.*\r\n)*|Message-Id: .*\r\n|Date: .*\r\n)", re.M)
_BODIES = (
    b"hello\n",
    b".\n..\n.x\n",
    b"no end of line",
    b"",
    b"caf\xc3\xa9 \xff\n",
    b"x" * 5000 + b"\n",
    b"a\rb\r\n",
    b"line\n" * 3000,
)


class UnderPostfixTests(SynchronousTestCase):
    """One Postfix, and a server that it relays everything to."""

    def setUp(self) -> None:
        self.sink = RecordingSink()
        self.addCleanup(self.sink.stop)

    def postfix(self, **parameters: str) -> UnderPostfix:
        """Not yet running."""
        return under_postfix(self, {"relayhost": f"[{LOOPBACK}]:{self.sink.port}", **parameters})

    def arrived(self, address: str) -> list[Transaction]:
        """What has come for somebody."""
        return [each for each in self.sink.transactions if any(f"<{address}>" in line for line in each.recipients)]

    # -- what becomes of mail -------------------------------------------------------------------------------------

    def test_as_postfix_delivers_it(self) -> None:
        """Two hundred messages of all kinds arrive, byte for byte as Postfix's own program delivers them."""
        wires = []
        for own in (True, False):
            postfix = self.postfix()
            postfix.begin(own=own, most=20 if own else 1)
            for number in range(200):
                body = _BODIES[number % len(_BODIES)]
                postfix.send(f"u{number}@there.test", data=b"Subject: %d\nTo: you\n\n" % number + body)
            postfix.wait_until_empty()
            wires.append({each.recipients[0]: _CHANGING.sub(b"", each.wire) for each in self.sink.transactions})
            envelopes = sorted(
                (re.sub("SIZE=[0-9]+", "", each.mail), each.recipients) for each in self.sink.transactions
            )
            wires[-1]["envelopes"] = repr(envelopes).encode()
            self.sink.transactions.clear()
            postfix.remove()
        self.assertEqual(len(wires[0]), 201)
        self.assertEqual(wires[0], wires[1])

    def test_deferral(self) -> None:
        """A recipient that is deferred waits in the queue, with the reason; a later attempt delivers it."""
        postfix = self.postfix()
        postfix.begin()
        postfix.send("later@there.test", "you@there.test")
        postfix.wait("to=<later@there.test>", "status=deferred")
        wait_until(lambda: "450 4.2.1 busy" in postfix.run("postqueue", "-p"), 120, "postqueue -p shows the reason")
        self.sink.opinion = lambda address: b"250 2.1.5 Ok\r\n"  # type: ignore[method-assign]
        postfix.retry_until_empty()
        self.assertEqual((len(self.arrived("you@there.test")), len(self.arrived("later@there.test"))), (1, 1))

    def test_bounce(self) -> None:
        """A recipient that is refused is reported to the sender, by Postfix's bounce(8)."""
        postfix = self.postfix()
        postfix.begin()
        postfix.send("nobody@there.test", "you@there.test")
        postfix.wait_until_empty()
        postfix.wait("sender non-delivery notification")
        (report,) = self.arrived("me@postfix.test")
        self.assertIn(b"Final-Recipient: rfc822; nobody@there.test", report.wire)
        self.assertIn(b"Status: 5.1.1\r\n", report.wire)
        self.assertIn(b"Diagnostic-Code: smtp; 550 5.1.1 unknown", report.wire)
        self.assertEqual(len(self.arrived("you@there.test")), 1)

    def test_success_report(self) -> None:
        """Who asks for it hears of a delivery to a server that has no DSN; the mail itself goes on."""
        sink = self.sink = RecordingSink(ehlo=b"250-sink.test\r\n250 PIPELINING\r\n")
        self.addCleanup(sink.stop)
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test", options=["-N", "success"])
        postfix.wait("sender delivery status notification")
        postfix.wait_until_empty()
        (report,) = self.arrived("me@postfix.test")
        self.assertIn(b"Action: relayed\r\n", report.wire)
        self.assertEqual(len(self.arrived("you@there.test")), 1)

    def test_probe(self) -> None:
        """``sendmail -bv`` is answered with a report, and nothing is delivered."""
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test", "nobody@there.test", "later@there.test", options=["-bv"])
        postfix.wait("sender delivery status notification")
        postfix.wait_until_empty()
        (report,) = self.sink.transactions
        actions = re.findall(rb"^(?:Final-Recipient: rfc822; (\S+)|Action: (\S+))\r$", report.wire, re.M)
        found = {
            name.decode(): action.decode() for (name, _), (_, action) in zip(actions[::2], actions[1::2], strict=True)
        }
        wanted = {
            "you@there.test": "deliverable",
            "nobody@there.test": "undeliverable",
            "later@there.test": "undeliverable",
        }
        self.assertEqual(found, wanted)
        self.assertTrue(postfix.lines("to=<you@there.test>", "status=deliverable"))

    def test_traced(self) -> None:
        """``sendmail -v`` delivers, and reports every recipient, the failed one too."""
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test", "nobody@there.test", options=["-v"])
        postfix.wait("sender delivery status notification")
        postfix.wait_until_empty()
        self.assertEqual(len(self.arrived("you@there.test")), 1)
        (report,) = [each for each in self.arrived("me@postfix.test") if b"Action: relayed" in each.wire]
        self.assertIn(b"nobody@there.test", report.wire)

    def test_address_verification(self) -> None:
        """smtpd(8) learns from verify(8), and that from us, whom the server takes."""
        port = free_port()
        postfix = self.postfix(
            smtpd_relay_restrictions="permit_mynetworks, reject",
            smtpd_recipient_restrictions="reject_unverified_recipient, permit",
            unverified_recipient_reject_code="550",
            address_verify_poll_count="60",
            address_verify_poll_delay="1s",
        )
        postfix.begin(more=f"{LOOPBACK}:{port} inet n - n - - smtpd\n", ports=[port])
        with smtplib.SMTP(LOOPBACK, port, timeout=120) as client:
            client.ehlo("client.test")
            client.mail("me@postfix.test")
            codes = [client.rcpt(address)[0] for address in ("you@there.test", "nobody@there.test")]
        self.assertEqual(codes, [250, 550])
        self.assertEqual(self.sink.transactions, [])

    def test_other_services(self) -> None:
        """The programs stand in for relay and lmtp, too, each with its protocol and the log name of its line."""
        home = f"[{LOOPBACK}]:{self.sink.port}"
        maps = f"inline:{{{{there.test=relay:{home}}}, {{mail.test=lmtp:inet:{home}}}}}"
        postfix = self.postfix(relayhost="", transport_maps=maps)
        lines = "relay unix - - n - 1 {} -o syslog_name=postfix/$service_name\nlmtp unix - - n - 1 {}\n"
        postfix.begin(more=lines.format(program(postfix.base), program(postfix.base, "smtpclient-lmtp")))
        postfix.send("you@there.test")
        postfix.send("me@mail.test")
        postfix.wait_until_empty()
        self.assertTrue(postfix.lines("postfix/relay/smtp[", "to=<you@there.test>", "status=sent"))
        self.assertTrue(postfix.lines("postfix/lmtp[", "to=<me@mail.test>", "status=sent"))
        self.assertIn("LHLO", self.sink.greetings)

    def test_who_had_it_first(self) -> None:
        """What smtpd(8) knows of a client is told to a server behind us that asks for it (XFORWARD)."""
        self.sink = RecordingSink(ehlo=b"250-sink.test\r\n250 XFORWARD NAME ADDR HELO IDENT\r\n")
        self.addCleanup(self.sink.stop)
        port = free_port()
        postfix = self.postfix(smtp_send_xforward_command="yes")
        postfix.begin(more=f"{LOOPBACK}:{port} inet n - n - - smtpd\n", ports=[port])
        with smtplib.SMTP(LOOPBACK, port, "client.test", timeout=120) as client:
            client.sendmail("me@postfix.test", ["you@there.test"], b"Subject: x\r\n\r\nhello\r\n")
        postfix.wait_until_empty()
        told = " ".join(self.sink.xforwarded)
        self.assertIn(f"ADDR={LOOPBACK}", told)
        self.assertIn("HELO=client.test", told)
        self.assertRegex(told, "IDENT=[0-9A-F]{6,}")

    def test_many_recipients(self) -> None:
        """A message to more recipients than one request holds arrives at all of them, and is removed."""
        postfix = self.postfix(smtp_destination_recipient_limit="30")
        postfix.begin()
        postfix.send(*[f"u{number}@there.test" for number in range(100)])
        postfix.wait_until_empty()
        self.assertEqual(sorted(len(each.recipients) for each in self.sink.transactions), [10, 30, 30, 30])

    def test_notices(self) -> None:
        """The postmaster hears of sessions that went wrong, by way of cleanup(8), which knows his aliases."""
        postfix = self.postfix(
            notify_classes="protocol",
            error_notice_recipient="postmaster@postfix.test",
            virtual_alias_maps="inline:{{postmaster@postfix.test=boss@there.test}}",
        )
        self.sink.opinion = lambda address: (  # type: ignore[method-assign]
            b"501 5.5.4 no such command\r\n" if address == "odd@there.test" else b"250 2.1.5 Ok\r\n"
        )
        postfix.begin()
        postfix.send("odd@there.test")
        postfix.wait("postmaster protocol error notification: ")
        postfix.wait_until_empty()
        (notice,) = self.arrived("boss@there.test")
        self.assertIn(b"To: postmaster@postfix.test\r\n", notice.wire)
        self.assertIn(b"\r\n In:  501 5.5.4 no such command\r\n", notice.wire)

    def test_dead_destination(self) -> None:
        """A destination where nobody answers is given up for a while by the queue manager, with our reason."""
        postfix = self.postfix(
            relayhost="",
            smtp_initial_destination_concurrency="1",
            transport_maps="inline:{there.test=smtp:[127.0.0.1]:1}",
        )
        postfix.begin()
        for number in range(3):
            postfix.send(f"u{number}@there.test")
        postfix.wait("delivery temporarily suspended: connect to 127.0.0.1[127.0.0.1]:1: Connection refused")
        self.assertEqual(len(postfix.queued()), 3)

    def test_damaged_file(self) -> None:
        """A queue file that cannot be read is reported to its sender and put into corrupt/; other mail goes on."""
        postfix = self.postfix()
        postfix.begin(own=True)
        postfix.run("postconf", "-e", "defer_transports=smtp")
        postfix.reload()
        postfix.send("you@there.test", data=b"Subject: x\n\n" + b"line\n" * 20_000)
        postfix.wait("status=deferred")
        wait_until(lambda: not os.listdir(f"{postfix.queue}/active"), 120, "the message has been put aside")
        (path,) = (path for path in Path(postfix.queue).glob("deferred/*/*") if path.is_file())
        name = path.name
        data = bytearray(path.read_bytes())
        data[data.index(b"N\x04line", 5000) + 60] = ord("Q")
        path.write_bytes(data)
        postfix.stop()
        postfix.set({"defer_transports": ""})
        postfix.begin()
        postfix.retry()
        postfix.wait(f'saving corrupt file "{name}" from queue "active" to queue "corrupt"')
        self.assertEqual(os.listdir(f"{postfix.queue}/corrupt"), [name])
        postfix.send("other@there.test")
        wait_until(lambda: bool(self.arrived("other@there.test")), 120, "other mail goes on")
        self.assertEqual(self.arrived("you@there.test"), [])

    # -- the life of the process ----------------------------------------------------------------------------------

    def test_killed(self) -> None:
        """kill -9 in mid-delivery: the message is kept, Postfix starts another process, and it arrives."""
        self.sink.may_answer.clear()
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test")
        self.assertTrue(self.sink.arrived.wait(120))
        os.kill(postfix.one_process(), signal.SIGKILL)
        postfix.wait("killed by signal 9")
        self.sink.may_answer.set()
        postfix.send("other@there.test")
        wait_until(lambda: bool(self.arrived("other@there.test")), 300, "other mail goes on")
        wait_until(lambda: len(os.listdir(f"{postfix.queue}/active")) == 0, 120, "nothing is active")
        postfix.retry_until_empty()
        self.assertGreaterEqual(len(self.arrived("you@there.test")), 1)

    def test_killed_again_and_again(self) -> None:
        """kill -9 in the middle of many deliveries, four times: everybody gets the mail, and no sender a report."""
        postfix, addresses = self.full_of_mail()
        for kills in range(1, 5):
            self.go_on_until(postfix, 20 * kills)
            os.kill(postfix.one_process(), signal.SIGKILL)
            postfix.wait("killed by signal 9", count=kills)
        got = self.all_that_comes(postfix)
        self.assertEqual(set(got), addresses)
        # Twice only what was under way at a kill: four at a time.
        self.assertLessEqual(len(got), 100 + 4 * 4)

    def test_reloaded_again_and_again(self) -> None:
        """Reloads in the middle of many deliveries: everybody gets the mail, and nobody twice."""
        postfix, addresses = self.full_of_mail()
        for reloads in range(1, 4):
            self.go_on_until(postfix, 20 * reloads)
            postfix.reload()
            postfix.wait("reload -- version", count=reloads)
        self.assertEqual(sorted(self.all_that_comes(postfix)), sorted(addresses))
        self.assertEqual(postfix.lines("warning: process", "smtpclient-smtp"), [])

    def full_of_mail(self) -> tuple[UnderPostfix, set[str]]:
        """A Postfix that runs and has a hundred messages in its queue, and who they are for."""
        postfix = self.postfix(smtp_destination_concurrency_limit="4", defer_transports="smtp")
        postfix.begin()
        addresses = {f"u{number}@there.test" for number in range(100)}
        for address in sorted(addresses):
            postfix.send(address)
        postfix.wait("status=deferred", count=100)
        postfix.stop()
        postfix.set({"defer_transports": ""})
        postfix.begin()
        return postfix, addresses

    def go_on_until(self, postfix: UnderPostfix, count: int) -> None:
        """Have what waits tried, again and again, until so many messages have come."""
        end = time.monotonic() + 180
        while len(self.sink.transactions) < count:
            # After a process has died the queue manager has its doubts about the destination.
            postfix.retry()
            self.sink.wait(count, 1.0)
            self.assertLess(time.monotonic(), end, postfix.log()[-4000:])

    def all_that_comes(self, postfix: UnderPostfix) -> list[str]:
        """Have everything tried until nothing is left; who got something, as often as he did."""
        postfix.retry_until_empty()
        return [re.findall("<(.*?)>", line)[0] for each in self.sink.transactions for line in each.recipients]

    def test_reload(self) -> None:
        """What is under way ends and is marked, the process ends, and the next one has the new main.cf."""
        self.sink.may_answer.clear()
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test")
        self.assertTrue(self.sink.arrived.wait(120))
        first = postfix.one_process()
        postfix.set({"smtp_helo_name": "new.postfix.test", "syslog_name": "anew"})
        postfix.reload()
        postfix.wait("reload")
        self.sink.may_answer.set()
        postfix.wait("to=<you@there.test>", "status=sent")
        wait_until(lambda: first not in postfix.processes(), 120, "the process has ended")
        postfix.send("other@there.test")
        wait_until(lambda: bool(self.arrived("other@there.test")), 120, "mail goes on")
        self.assertNotIn(first, postfix.processes())
        postfix.retry_until_empty()
        self.assertEqual(len(self.arrived("you@there.test")), 1)
        self.assertEqual(postfix.lines("warning: process", "smtpclient-smtp"), [])

    def test_a_delivery_without_end(self) -> None:
        """The queue manager gets its answer before it loses its patience, and lives; the mail waits."""
        self.sink.may_answer.clear()
        postfix = self.postfix(daemon_timeout="10s")
        postfix.begin()
        postfix.send("you@there.test")
        postfix.wait("to=<you@there.test>", "dsn=4.4.2", "status=deferred (the delivery was interrupted")
        wait_until(lambda: not os.listdir(f"{postfix.queue}/active"), 120, "the message is deferred")
        self.assertEqual(postfix.lines("fatal"), [])
        self.sink.may_answer.set()
        postfix.retry_until_empty()
        self.assertGreaterEqual(len(self.arrived("you@there.test")), 1)

    def test_stop(self) -> None:
        """Postfix stops at once in mid-delivery, nothing of us is left running, and the mail is there afterwards."""
        self.sink.may_answer.clear()
        postfix = self.postfix()
        postfix.begin()
        postfix.send("you@there.test")
        self.assertTrue(self.sink.arrived.wait(120))
        postfix.stop()
        wait_until(lambda: not postfix.processes(), 120, "no process is left")
        self.sink.may_answer.set()
        self.assertEqual(len(postfix.queued()), 1)
        postfix.begin()
        postfix.wait_until_empty()
        self.assertGreaterEqual(len(self.arrived("you@there.test")), 1)

    def test_idle(self) -> None:
        """A process that nobody needs ends without a word, and the next message starts another."""
        postfix = self.postfix()
        postfix.begin("-o", "max_idle=1")
        self.sink.may_answer.clear()
        postfix.send("you@there.test")
        first = postfix.one_process()
        self.sink.may_answer.set()
        postfix.wait_until_empty()
        wait_until(lambda: not postfix.processes(), 120, "the process has ended")
        postfix.send("you@there.test")
        postfix.wait_until_empty()
        self.assertNotEqual(postfix.processes(), [first])
        self.assertEqual(postfix.lines("warning"), [])

    def test_several_processes(self) -> None:
        """A process that has as many deliveries as it takes has master start another one."""
        self.sink.may_answer.clear()
        postfix = self.postfix(smtp_destination_concurrency_limit="6", smtp_initial_destination_concurrency="6")
        postfix.begin("-o", "deliveries_per_process=2", most=20)
        for number in range(6):
            postfix.send(f"u{number}@there.test")
        wait_until(lambda: len(postfix.processes()) >= 3, 120, "there are three processes")
        self.sink.may_answer.set()
        postfix.wait_until_empty()
        self.assertEqual(len(self.sink.transactions), 6)
        self.assertEqual(postfix.lines("warning"), [])

    def test_more_than_one_process_takes(self) -> None:
        """Where there may be one process only, requests wait for it."""
        postfix = self.postfix()
        postfix.begin("-o", "deliveries_per_process=2")
        for number in range(20):
            postfix.send(f"u{number}@there.test")
        postfix.wait_until_empty()
        self.assertEqual((len(self.sink.transactions), len(postfix.processes())), (20, 1))

    def test_as_root(self) -> None:
        """With ``n`` in the column unprivileged the process stays root."""
        postfix = self.postfix()
        postfix.begin(unprivileged=False)
        postfix.send("you@there.test")
        postfix.wait_until_empty()
        self.assertEqual(_user(postfix.one_process()), 0)

    def test_in_a_jail(self) -> None:
        """With ``y`` in the column chroot the process sees nothing but the queue directory, and delivers."""
        postfix = self.postfix()
        postfix.begin(chroot=True)
        postfix.send("you@there.test", "nobody@there.test")
        postfix.wait_until_empty()
        process = postfix.one_process()
        self.assertEqual(os.readlink(f"/proc/{process}/root"), postfix.queue)
        self.assertNotEqual(_user(process), 0)
        self.assertEqual((len(self.arrived("you@there.test")), len(self.arrived("me@postfix.test"))), (1, 1))
        self.assertEqual(postfix.lines("smtp[", "warning"), [])

    def test_what_cannot_be_honoured(self) -> None:
        """Nothing is delivered, the log names the setting, the queue the reason; a reload puts it right."""
        postfix = self.postfix(smtp_sasl_type="dovecot")
        postfix.begin()
        postfix.send("you@there.test")
        postfix.wait("error:", "smtp_sasl_type = dovecot: this is not supported")
        postfix.wait("to=<you@there.test>", "dsn=4.3.5", "status=deferred (mail system configuration error")
        wait_until(lambda: "configuration error" in postfix.run("postqueue", "-p"), 120, "postqueue -p has the reason")
        postfix.set({"smtp_sasl_type": "cyrus"})
        postfix.reload()
        postfix.retry_until_empty()  # the process with the old settings may still take a request or two
        self.assertEqual(len(self.arrived("you@there.test")), 1)

    def test_sessions_are_used_again(self) -> None:
        """Under load sessions carry many messages each."""
        postfix = self.postfix(smtp_destination_concurrency_limit="2", smtp_initial_destination_concurrency="2")
        postfix.begin(own=True)
        postfix.run("postconf", "-e", "defer_transports=smtp")
        postfix.reload()
        for number in range(60):
            postfix.send(f"u{number}@there.test")
        postfix.wait("status=deferred", count=60)
        postfix.stop()
        postfix.set({"defer_transports": ""})
        postfix.begin()
        postfix.retry_until_empty()
        self.assertTrue(postfix.lines("conn_use=10"), postfix.log()[-2000:])
        self.assertLess(self.sink.sessions, 20)


def _user(process: int) -> int:
    """Whom a process runs as."""
    return os.stat(f"/proc/{process}").st_uid
