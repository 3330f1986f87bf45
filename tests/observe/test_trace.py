"""The dialogue line by line."""

from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.trace import LINE_LENGTH, TRANSCRIPT_LINES, DebugTrace, Traces, Transcript
from smtpclient.smtp.reply import Reply


class Debugging(SynchronousTestCase):
    """Into the log."""

    def test_lines(self) -> None:
        """Commands and reply lines with the server's name, in Postfix's form."""
        events: list[LogEvent] = []
        maillog = MailLog(lambda: 0.0)
        maillog.publisher.addObserver(events.append)
        trace = DebugTrace(maillog, Peer("mx.example", "192.0.2.1", 25))
        trace.sent("MAIL FROM:<a@b>")
        trace.received(Reply(250, "250-one\n250 two"))
        self.assertEqual(
            [(event["process"], event["mail_line"]) for event in events],
            [
                ("smtp", "> mx.example[192.0.2.1]:25: MAIL FROM:<a@b>"),
                ("smtp", "< mx.example[192.0.2.1]:25: 250-one"),
                ("smtp", "< mx.example[192.0.2.1]:25: 250 two"),
            ],
        )

    def test_times(self) -> None:
        """With a clock it is said how long each reply took; of several at once each counts from the one before."""
        events: list[LogEvent] = []
        clock = Clock()
        maillog = MailLog(clock.seconds)
        maillog.publisher.addObserver(events.append)
        trace = DebugTrace(maillog, Peer("mx.example", "192.0.2.1", 25), clock.seconds)
        for pause in (0.5, 0.25):
            clock.advance(pause)
            trace.received(Reply(250, "250 ok"))
        clock.advance(7)
        trace.sent("QUIT")
        clock.advance(0.012)
        trace.received(Reply(221, "221 bye"))
        times = [event["mail_line"] for event in events if event["mail_line"].startswith("=")]
        peer = "mx.example[192.0.2.1]:25"
        self.assertEqual(times, [f"= {peer}: reply after {time} s" for time in ("0.500", "0.250", "0.012")])


class Transcripts(SynchronousTestCase):
    """Into memory."""

    def test_lines(self) -> None:
        """As the postmaster gets to see it."""
        transcript = Transcript()
        transcript.received(Reply(220, "220 mx"))
        transcript.sent("EHLO me\x00")
        transcript.received(Reply(250, "250-one\n250 two"))
        self.assertEqual(transcript.lines, ["In:  220 mx", "Out: EHLO me?", "In:  250-one", "In:  250 two"])

    def test_bounded(self) -> None:
        """A server that says much is remembered in part: so many lines, each so long."""
        transcript = Transcript()
        for _ in range(10):
            transcript.received(Reply(250, "\n".join(["250-" + "x" * 2 * LINE_LENGTH] * TRANSCRIPT_LINES)))
        self.assertEqual({len(line) for line in transcript.lines}, {LINE_LENGTH})
        self.assertEqual(len(transcript.lines), TRANSCRIPT_LINES)

    def test_several(self) -> None:
        """Traces can be joined; each sees everything."""
        first, second = Transcript(), Transcript()
        traces = Traces([first, second])
        traces.sent("QUIT")
        traces.received(Reply(221, "221 bye"))
        self.assertEqual((first.lines, second.lines), (["Out: QUIT", "In:  221 bye"],) * 2)
