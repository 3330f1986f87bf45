"""``smtpclient sendmail``, on real queue directories."""

import errno
import io
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.command import sendmail
from smtpclient.command.direct import DirectFiles, at_once
from smtpclient.command.sendmail_options import CommandLine, Failure, parse
from smtpclient.config.parameters import ConfigurationError
from smtpclient.mail.envelope import Notify, QueuedMessage, Return, TraceFlags, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.spool import Spool
from smtpclient.queue.trigger import Trigger, open_doors

NOW = 1795342369.25
LOGIN = pwd.getpwuid(os.getuid()).pw_name
POSTCAT = shutil.which("postcat")


class SendmailCase:
    """A queue directory, and the command that writes into it."""

    def make_spool(self) -> None:
        """Make the directory."""
        self.directory = tempfile.mkdtemp(prefix="sendmail-")
        self.addCleanup(shutil.rmtree, self.directory)  # type: ignore[attr-defined]
        self.spool = Spool(self.directory, DirectFiles(), Clock(), MailLog(lambda: NOW))
        self.spool.prepare()
        self.spool.close()

    def sendmail(
        self, *words: str, message: bytes = b"Subject: x\n\nbody\n", **details: object
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        stdout, stderr = io.StringIO(), io.StringIO()
        settings = [f"queue_directory={self.directory}", "myhostname=mail.example.test", "myorigin=example.test"]
        options = [word for setting in settings for word in ("-o", setting)]
        given = {"environment": {}, "seconds": lambda: NOW, "random": random.Random(1), "stdin": io.BytesIO(message)}
        code = sendmail.main([*options, *words], stdout=stdout, stderr=stderr, **{**given, **details})
        return code, stdout.getvalue(), stderr.getvalue()

    def queued(self) -> list[QueuedMessage]:
        """What lies in ``incoming``."""
        return [self.spool.read(entry.queue_id, "incoming") for entry in self.spool.scan("incoming")]

    def content(self, message: QueuedMessage) -> bytes:
        """The content of a queued message."""
        reader = self.spool.content(message.envelope, "incoming").open()
        content = b""
        while block := at_once(reader.next_block()):
            content += block
        reader.close()
        return content


class QueueTests(SendmailCase, SynchronousTestCase):
    """Messages that are queued."""

    def setUp(self) -> None:
        self.make_spool()

    def test_a_message_is_queued(self) -> None:
        """Nothing is said, and a complete message lies in the queue."""
        self.assertEqual((0, "", ""), self.sendmail("-F", "The Name", "r@y.test"))
        (message,) = self.queued()
        self.assertEqual(f"{LOGIN}@example.test", message.envelope.sender)
        self.assertEqual(["r@y.test"], [recipient.address for recipient in message.recipients])
        self.assertEqual("The Name", message.envelope.full_name)
        lines = self.content(message).decode().splitlines()
        self.assertEqual(f"Received: by mail.example.test (smtpclient, from userid {os.getuid()});", lines[0])
        self.assertEqual("Subject: x", lines[2])
        self.assertEqual([f"From: The Name <{LOGIN}@example.test>", "", "body"], lines[5:])

    def test_the_queue_id_is_printed(self) -> None:
        """With -v."""
        code, out, _ = self.sendmail("-v", "r@y.test")
        self.assertEqual((0, [out.strip()]), (code, [message.envelope.queue_id for message in self.queued()]))

    def test_every_option(self) -> None:
        """What was asked for is in the envelope."""
        words = ["-f", "s@x.test", "-N", "success,delay", "-R", "hdrs", "-V", "envelope+id", "-B", "8bitmime"]
        words += ["-oem", "-om", "-i", "-bm", "-L", "label"]
        self.assertEqual((0, "", ""), self.sendmail(*words, "--", "r@y.test", "-dash@y.test"))
        (message,) = self.queued()
        envelope = message.envelope
        self.assertEqual("s@x.test", envelope.sender)
        self.assertEqual(
            ("8bit", Return.HEADERS, "envelope+id"), (envelope.encoding, envelope.ret, envelope.envelope_id)
        )
        wishes = {recipient.address: recipient.notify for recipient in message.recipients}
        self.assertEqual(dict.fromkeys(["r@y.test", "-dash@y.test"], Notify.SUCCESS | Notify.DELAY), wishes)

    def test_probe(self) -> None:
        """With -bv nothing is read, and what lies in the queue asks whether the recipients would get mail."""
        self.assertEqual((0, "", ""), self.sendmail("-bv", "-f", "s@x.test", "r@y.test", message=b"Subject: unread\n"))
        (message,) = self.queued()
        self.assertEqual((message.envelope.trace_flags, message.envelope.sender), (TraceFlags.PROBE, "s@x.test"))
        self.assertIn(b"Subject: probe\n", self.content(message))

    def test_senders(self) -> None:
        """The null sender, quoted ones, names around them, none with a domain."""
        table = {
            "": "",
            "<>": "",
            "s@x.test": "s@x.test",
            '"a b"@x.test': "a b@x.test",
            "Some One <s@x.test>": "s@x.test",
            "root": "root@example.test",
        }
        for given in table:
            self.assertEqual((0, "", ""), self.sendmail("-f", given, "r@y.test"))
        self.assertEqual(sorted(table.values()), sorted(message.envelope.sender for message in self.queued()))

    def test_recipients_in_arguments(self) -> None:
        """Arguments may be unqualified, quoted, UTF-8, or whole lists."""
        self.sendmail("root", '"a b"@y.test', "jos\xe9@y.test", "A <a@y.test>, b@y.test")
        (message,) = self.queued()
        self.assertEqual(
            ["root@example.test", "a b@y.test", "jos\xe9@y.test", "a@y.test", "b@y.test"],
            [recipient.address for recipient in message.recipients],
        )
        self.assertEqual(Utf8.REQUESTED, message.envelope.utf8)

    def test_recipients_of_the_header(self) -> None:
        """With -t, those of To, Cc and Bcc are added, and Bcc is gone."""
        message = b"To: a@y.test, B <b@y.test>\nCc: root\nBcc: hidden@y.test\n\n"
        self.assertEqual((0, "", ""), self.sendmail("-t", "more@y.test", message=message))
        (queued,) = self.queued()
        self.assertEqual(
            ["more@y.test", "a@y.test", "b@y.test", "root@example.test", "hidden@y.test"],
            [recipient.address for recipient in queued.recipients],
        )
        self.assertNotIn(b"hidden", self.content(queued))

    def test_where_the_message_ends(self) -> None:
        """A line with only a dot ends it, unless -i or -oi says otherwise; a dot elsewhere does not."""
        message = b"A: 1\r\n\r\n" + b"x" * 65536 + b".\n..\n.\r\nrest\n"
        for words in ([], ["-i"], ["-oi"]):
            self.assertEqual(
                (0, "", ""), self.sendmail("-f", "s" + "".join(words), *words, "r@y.test", message=message)
            )
        bodies = {one.envelope.sender: self.content(one).partition(b"\n\n")[2] for one in self.queued()}
        short = b"x" * 65536 + b".\n..\n"
        whole = short + b".\nrest\n"
        self.assertEqual({"s@example.test": short, "s-i@example.test": whole, "s-oi@example.test": whole}, bodies)

    def test_mail_from_elsewhere(self) -> None:
        """With -G the header is left as it is, but for the Received field."""
        self.sendmail("-G", "r@y.test", message=b"From: root\n\nbody\n")
        (message,) = self.queued()
        self.assertTrue(self.content(message).endswith(b"\nFrom: root\n\nbody\n"))
        self.assertNotIn(b"Message-ID", self.content(message))

    def test_the_full_name(self) -> None:
        """-F, or $NAME, or the password file."""
        self.sendmail("-f", "a", "r@y.test", environment={"NAME": "From Environment"})
        self.sendmail("-f", "b", "-F", "From Option", "r@y.test", environment={"NAME": "From Environment"})
        self.sendmail("-f", "c", "-F", "", "r@y.test", environment={"NAME": "From Environment"})
        names = {one.envelope.sender: one.envelope.full_name for one in self.queued()}
        self.assertEqual(
            {"a@example.test": "From Environment", "b@example.test": "From Option", "c@example.test": ""}, names
        )
        self.assertEqual("Root the Great", sendmail._full_name("& the Great,Room 1", "root"))

    def test_a_large_message(self) -> None:
        """A message of many blocks is stored whole."""
        body = b"".join(b"%07d\n" % number for number in range(125_000))
        self.assertEqual((0, "", ""), self.sendmail("-i", "r@y.test", message=b"A: 1\n\n" + body))
        (message,) = self.queued()
        self.assertTrue(self.content(message).endswith(b"\n\n" + body))

    def test_what_root_queues_is_the_services(self) -> None:
        """A file that root makes belongs to whom the queue belongs to."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        os.chown(os.path.join(self.directory, "incoming"), 12345, 54321)
        self.sendmail("r@y.test")
        (name,) = os.listdir(os.path.join(self.directory, "incoming"))
        status = os.stat(os.path.join(self.directory, "incoming", name))
        self.assertEqual((12345, 54321, 0o700), (status.st_uid, status.st_gid, status.st_mode & 0o777))

    def test_the_log(self) -> None:
        """The service's log says who queued what, where there is one; none is made."""
        log = os.path.join(self.directory, "maillog")
        setting = f"maillog_file={log}"
        self.assertEqual(0, self.sendmail("-o", setting, "r@y.test")[0])
        self.assertFalse(os.path.exists(log))
        with open(log, "w"):
            pass
        _, out, _ = self.sendmail("-v", "-o", setting, "-f", "s@x.test", "r@y.test")
        with open(log) as file:
            lines = [line.partition("smtpclient/")[2] for line in file.read().splitlines()]
        queue_id, pid = out.strip(), os.getpid()
        self.assertEqual(f"pickup[{pid}]: {queue_id}: uid={os.getuid()} from=<s@x.test>", lines[0])
        self.assertRegex(lines[1], rf"^cleanup\[{pid}\]: {queue_id}: message-id=<\S+@mail\.example\.test>$")

    def test_postcat_reads_it(self) -> None:
        """The genuine postcat(1) finds nothing to complain about."""
        if POSTCAT is None:
            self.skipTest("needs postcat(1)")
        self.sendmail("-B", "8BITMIME", "r@y.test", "root", message="Subject: \xe9\n\n.\u20ac\n".encode())
        etc = os.path.join(self.directory, "etc")
        os.mkdir(etc)
        with open(os.path.join(etc, "main.cf"), "w") as file:
            file.write("compatibility_level = 3.6\ninet_interfaces = 127.0.0.1\n")
        (name,) = os.listdir(os.path.join(self.directory, "incoming"))
        path = os.path.join(self.directory, "incoming", name)
        run = subprocess.run([POSTCAT, "-c", etc, path], capture_output=True, timeout=120, check=False)
        self.assertEqual((0, b""), (run.returncode, run.stderr))
        for wanted in (
            b"\nrecipient: r@y.test\n",
            b"\nrecipient: root@example.test\n",
            b"encoding=8bit",
            "\n.€\n".encode(),
        ):
            self.assertIn(wanted, run.stdout)


class RefusalTests(SendmailCase, SynchronousTestCase):
    """What is not queued, the exit code, and the words."""

    def setUp(self) -> None:
        self.make_spool()

    def refused(self, *words: str, **details: object) -> tuple[int, str]:
        """Exit code and complaint; nothing is queued."""
        code, out, complaint = self.sendmail(*words, **details)  # type: ignore[arg-type]
        self.assertEqual(("", []), (out, self.queued()))
        self.assertEqual([], os.listdir(os.path.join(self.directory, "incoming")))
        return code, complaint.removeprefix("smtpclient sendmail: ").removesuffix("\n")

    def test_command_lines(self) -> None:
        """A wrong command line is a 64, with what was expected."""
        table = {
            ("-Q", "r@y.test"): "option -Q not recognized",
            ("-f",): "option -f requires argument",
            ("-bp",): "-b p: expected -bm or -bv; smtpclient queue shows and changes the queue",
            ("-N", "soon", "r@y.test"): "-N soon: expected never, or some of success,failure,delay",
            ("-R", "some", "r@y.test"): "-R some: expected full or hdrs",
            ("-B", "9bit", "r@y.test"): "-B 9bit: expected 7bit or 8bitmime",
            ("-V", "a\nb", "r@y.test"): "-V a\nb: expected up to 100 printable ASCII characters",
            ("-o", "nonsense", "r@y.test"): "-o nonsense: expected NAME=VALUE",
            ("--color", "r@y.test"): "option --color not recognized",
        }
        hint = "\nTry: smtpclient sendmail --help"
        refusals = {words: self.refused(*words) for words in table}
        self.assertEqual({words: (os.EX_USAGE, complaint + hint) for words, complaint in table.items()}, refusals)
        self.assertEqual((os.EX_USAGE, "name the recipients, or take them from the header with -t"), self.refused())
        self.assertEqual(
            (os.EX_USAGE, "-bv reads no message: name the recipients, without -t"),
            self.refused("-bv", "-t", "r@y.test"),
        )
        self.assertEqual(
            (os.EX_USAGE, "-bv: the null sender gets no report; name one with -f"),
            self.refused("-bv", "-f", "<>", "r@y.test"),
        )

    def test_addresses(self) -> None:
        """An address that is none is a 65, wherever it stands."""
        table = {
            ("a b@y.test",): 'no comma before "b" in "a b@y.test"',
            ("",): "no address in ''",
            ("a@y test",): 'no comma before "test" in "a@y test"',
            ("-f", "a@b@c", "r@y.test"): 'more than one "@" in "a@b@c"',
            ("-f", "a@x, b@x", "r@y.test"): "-f a@x, b@x: expected one address",
            ("r@" + "y" * 600,): f"recipient address is longer than 512 bytes: <r@{'y' * 98}...>",
        }
        self.assertEqual(
            {words: (os.EX_DATAERR, complaint) for words, complaint in table.items()},
            {words: self.refused(*words) for words in table},
        )

    def test_headers(self) -> None:
        """Recipients in the header that cannot be read, or are not there, are a 65: nobody is dropped in silence."""
        self.assertEqual(
            (os.EX_DATAERR, 'Cc: header: no comma before "b" in "a b@y.test"'),
            self.refused("-t", message=b"To: r@y.test\nCc: a b@y.test\n\n"),
        )
        self.assertEqual(
            (os.EX_DATAERR, "no recipient addresses given"), self.refused("-t", message=b"Subject: x\n\nTo: r@y.test\n")
        )

    def test_messages(self) -> None:
        """A message that is too large or loops is a 69, also where that shows only while it is stored."""
        self.assertEqual(
            (os.EX_UNAVAILABLE, "message is larger than 100000 bytes (message_size_limit)"),
            self.refused("-o", "message_size_limit=100000", "r@y.test", message=b"A: 1\n\n" + b"x" * 200_000),
        )
        self.assertEqual((os.EX_UNAVAILABLE, "too many hops"), self.refused("r@y.test", message=b"Received: x\n" * 50))

    def test_the_queue(self) -> None:
        """A missing queue is a 73, one of somebody else's a 77, a full one a 75, a broken one a 74."""
        files = DirectFiles
        table = {errno.EACCES: os.EX_NOPERM, errno.ENOSPC: os.EX_TEMPFAIL, errno.EIO: os.EX_IOERR}

        @contextmanager
        def failing(error: int) -> Iterator[None]:
            def fail(self: DirectFiles, fd: int, data: bytes) -> None:
                raise OSError(error, os.strerror(error))

            undo = self.patch(files, "write", fail)
            yield
            undo.restore()

        for error, code in table.items():
            with failing(error):
                got, complaint = self.refused("r@y.test")
                self.assertEqual(code, got)
                self.assertIn(f"{self.directory}/incoming/", complaint)
                self.assertIn(os.strerror(error), complaint)
        code, _, complaint = self.sendmail("-o", "queue_directory=/nonexistent", "r@y.test")
        self.assertEqual(os.EX_CANTCREAT, code)
        self.assertIn("/nonexistent/incoming: No such file or directory; start the service once", complaint)
        code, _, complaint = self.sendmail("-o", f"queue_minfree={10**18}", "r@y.test")
        self.assertEqual(os.EX_TEMPFAIL, code)

    def test_the_input(self) -> None:
        """Standard input that cannot be read is a 66."""

        class Broken(io.BytesIO):
            def readline(self, size: int | None = -1) -> bytes:
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))

        self.assertEqual((os.EX_NOINPUT, "standard input: Is a directory"), self.refused("r@y.test", stdin=Broken()))

        class Breaking(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                block = super().read(size)
                if not block:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return block

        self.assertEqual(
            (os.EX_NOINPUT, "standard input: Input/output error"),
            self.refused("-i", "r@y.test", stdin=Breaking(b"A: 1\n\n" + b"x" * 200_000)),
        )

    def test_an_interrupt(self) -> None:
        """Ctrl-C queues nothing and says so."""

        class Interrupted(io.BytesIO):
            def readline(self, size: int | None = -1) -> bytes:
                raise KeyboardInterrupt

        self.assertEqual(
            (os.EX_TEMPFAIL, "interrupted; nothing was queued"), self.refused("r@y.test", stdin=Interrupted())
        )

    def test_the_configuration(self) -> None:
        """Every wrong setting is named, and so is a file that is not there."""
        words = ("-o", "hopcount_limit=many", "-o", "message_size_limit=big", "r@y.test")
        error = self.assertRaises(ConfigurationError, self.sendmail, *words)
        self.assertEqual(
            [problem.partition(":")[0] for problem in error.problems], ["-o message_size_limit", "-o hopcount_limit"]
        )
        error = self.assertRaises(ConfigurationError, self.sendmail, "--config=/nonexistent/main.cf", "r@y.test")
        self.assertEqual(error.problems, ("/nonexistent/main.cf: No such file or directory",))

    def test_nobody(self) -> None:
        """A user id without a name needs -f; that is a 71."""

        def unknown(uid: int) -> None:
            raise KeyError(uid)

        self.patch(pwd, "getpwuid", unknown)
        code, complaint = self.refused("r@y.test")
        self.assertEqual(os.EX_OSERR, code)
        self.assertIn("has no login name; name the sender with -f", complaint)
        self.assertEqual((0, "", ""), self.sendmail("-f", "s@x.test", "r@y.test"))

    def test_help(self) -> None:
        """The options are explained."""
        code, out, _ = self.sendmail("--help")
        self.assertEqual(os.EX_OK, code)
        self.assertIn("-o NAME=VALUE", out)


class OptionTests(SynchronousTestCase):
    """The command line."""

    def test_defaults(self) -> None:
        """Without options there are only recipients."""
        line = parse(["a@x", "b@x"])
        self.assertEqual(CommandLine(recipients=["a@x", "b@x"]), line)

    def test_settings(self) -> None:
        """-o is one of our parameters where it has a name and a value, else one of sendmail's letters."""
        line = parse(["-o", "a=b", "-oi", "-oem", "-o", "c = d=e", "-o7", "-odb"])
        self.assertEqual((["a=b", "c = d=e"], False), (line.configuration.overrides, line.dot_ends))

    def test_configuration(self) -> None:
        """Three ways to name the file; the last one counts."""
        self.assertEqual("z", parse(["-c", "x", "-C", "y", "--config", "z"]).configuration.config)

    def test_options_behind_recipients(self) -> None:
        """They are taken, until ``--``."""
        line = parse(["a@x", "-t", "--", "-i"])
        self.assertEqual((True, True, ["a@x", "-i"]), (line.from_header, line.dot_ends, line.recipients))

    def test_ignored(self) -> None:
        """What other sendmails know is no error, and changes nothing."""
        line = parse(["-Am", "-h", "3", "-L", "x", "-m", "-n", "-O", "a=b", "-U", "-X", "log", "-bm", "r@y.test"])
        self.assertEqual(CommandLine(recipients=["r@y.test"]), line)
        self.assertRaises(Failure, parse, ["-q"])

    def test_never(self) -> None:
        """-N never is on its own."""
        self.assertEqual(Notify.NEVER, parse(["-N", "never"]).notify)
        self.assertRaises(Failure, parse, ["-N", "never,delay"])


class ProgramTests(SendmailCase, TestCase):
    """The program as a process, beside a listener on ``public/qmgr``."""

    def setUp(self) -> None:
        self.make_spool()

    async def test_the_service_hears_of_it(self) -> None:
        """A message from a pipe is queued, and whoever listens is told."""
        heard: Deferred[frozenset[str]] = Deferred()
        doors = open_doors(reactor, self.directory, Trigger(heard.callback, reactor))
        command = [
            sys.executable,
            "-m",
            "smtpclient",
            "sendmail",
            "-v",
            "-t",
            "-o",
            f"queue_directory={self.directory}",
        ]
        run = await deferToThread(
            subprocess.run, command, input=b"To: r@y.test\n\nbody\n", capture_output=True, timeout=120, check=False
        )
        self.assertEqual((0, b""), (run.returncode, run.stderr))
        self.assertEqual(frozenset("W"), await heard.addTimeout(60, reactor))
        self.assertEqual([run.stdout.decode().strip()], [one.envelope.queue_id for one in self.queued()])
        await doors.close()
