"""Logging in, as an attempt to deliver does it: words, codes, order, sharing of sessions, and what is seen of it."""

import base64
import dataclasses
from collections.abc import Mapping
from random import Random
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.tables import Tables
from smtpclient.delivery.access_token import NoToken
from smtpclient.delivery.credentials import CredentialLookup, CredentialSettings
from smtpclient.delivery.login import Login, Logins, LoginSettings
from smtpclient.delivery.means import WalkSettings
from smtpclient.delivery.pool import PoolSettings
from smtpclient.mail.outcome import Peer
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.handshake import Refused
from smtpclient.smtp.sasl import Protection, SaslPolicy
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import World, short
from tests.smtp.in_memory import Conversation
from tests.smtp.scram_server import ScramScript, ScramServer
from tests.smtp.scripted_server import Script

SECRET = "hunter2-Secret!"
HOST = "mx-a.example[192.0.2.1]"
OPEN = SaslPolicy(*[frozenset({"noanonymous"})] * 3)
USER, PASSWORD = (base64.b64encode(text.encode()).decode() for text in ("bob", SECRET))
PLAIN = base64.b64encode(f"\0bob\0{SECRET}".encode()).decode()
PROMPTS = {"AUTH LOGIN": "334 VXNlcm5hbWU6", USER: "334 UGFzc3dvcmQ6", PASSWORD: "235 2.7.0 ok"}


def logins(world: World, table: str = f"static:{{bob:{SECRET}}}", **options: Any) -> Logins:
    """The logins of a table."""
    by_sender = options.pop("by_sender", False)
    tokens = options.pop("tokens", None)
    settings = LoginSettings(**{"policy": OPEN, **options})
    lookup = CredentialLookup(CredentialSettings(True, Tables(table), by_sender))
    return Logins(lookup, settings, world.means.maillog, Random(1), tokens)


class LoginCase(SynchronousTestCase):
    """Attempts against servers that offer AUTH."""

    maxDiff = None

    def world(self, *servers: Script, table: str = f"static:{{bob:{SECRET}}}", **options: Any) -> World:
        """Servers a, b and so on, and a login for them."""
        inside = {key: options.pop(key) for key in ("walk", "dialogue", "pool") if key in options}
        world = World(dict(zip("abc", servers, strict=False)), notify=True, debug_peers=["192.0.2.0/24"], **inside)
        world.means = dataclasses.replace(world.means, logins=logins(world, table, **options))
        return world

    def attempt(self, on: Mapping[str, Any], *ehlo: str, **options: Any) -> tuple[str, list[str]]:
        """Disposition, status and reason, and what the server was told after EHLO."""
        world = self.world(Script({"other": on}, ehlo=ehlo), **options)
        [outcome] = world.deliver().outcomes
        self.last = world
        return f"{outcome.disposition.value} {outcome.status} {outcome.reason}", world.sessions("a")[0].commands[1:]


class Words(LoginCase):
    """What comes of a login; words and codes are those of Postfix 3.7."""

    def test_plain(self) -> None:
        """A login that works goes before MAIL, and mail goes after it."""
        fate, commands = self.attempt({"AUTH": "235 2.7.0 ok"}, "AUTH PLAIN LOGIN")
        self.assertEqual(fate, "sent 2.0.0 250 2.0.0 Ok: queued")
        self.assertEqual(commands[:2], [f"AUTH PLAIN {PLAIN}", "MAIL FROM:<sender@example.org>"])

    def test_login(self) -> None:
        """LOGIN asks twice."""
        fate, commands = self.attempt(PROMPTS, "AUTH LOGIN")
        self.assertEqual((fate[:10], commands[:3]), ("sent 2.0.0", ["AUTH LOGIN", USER, PASSWORD]))

    def test_cram_md5(self) -> None:
        """CRAM-MD5 comes before what shows the password."""
        challenge = base64.b64encode(b"<1@x>").decode()
        fate, commands = self.attempt({"AUTH": f"334 {challenge}", "": "235 ok"}, "AUTH PLAIN CRAM-MD5")
        self.assertEqual((fate[:10], commands[0]), ("sent 2.0.0", "AUTH CRAM-MD5"))
        self.assertTrue(base64.b64decode(commands[1]).startswith(b"bob "))

    def test_scram(self) -> None:
        """Both sides prove that they know the password."""
        world = self.world(ScramScript(scram=ScramServer(SECRET)))
        self.assertEqual(short(world.deliver()), ["sent 2.0.0"])

    def test_old_form_of_the_offer(self) -> None:
        """``AUTH=`` counts like ``AUTH``, and both lines count together."""
        fate, commands = self.attempt({"AUTH": "235 ok"}, "AUTH GSSAPI", "AUTH=PLAIN")
        self.assertEqual((fate[:10], commands[0]), ("sent 2.0.0", f"AUTH PLAIN {PLAIN}"))

    def test_no_offer_no_login(self) -> None:
        """A server without AUTH gets mail as from a stranger."""
        fate, commands = self.attempt({}, "SIZE 1000000")
        self.assertEqual((fate[:10], commands[0][:9]), ("sent 2.0.0", "MAIL FROM"))

    def test_no_entry_no_login(self) -> None:
        """A server without an entry does too."""
        fate, commands = self.attempt({}, "AUTH PLAIN", table="inline:{other.example=u:p}")
        self.assertEqual((fate[:10], commands[0][:9]), ("sent 2.0.0", "MAIL FROM"))

    def test_refused(self) -> None:
        """A refusal for good is one for now, unless told otherwise."""
        said = f"SASL authentication failed; server {HOST} said: 535 "
        wanted = {
            ("535 5.7.8 bad", True): f"deferred 4.7.8 {said}5.7.8 bad",
            ("535 5.7.8 bad", False): f"bounced 5.7.8 {said}5.7.8 bad",
            ("535 bad", True): f"deferred 4.0.0 {said}bad",
            ("535 bad", False): f"bounced 5.0.0 {said}bad",
        }
        got = {key: self.attempt({"AUTH": key[0]}, "AUTH PLAIN", soft=key[1])[0] for key in wanted}
        self.assertEqual(got, wanted)
        self.assertEqual(self.attempt({"AUTH": "535 no"}, "AUTH PLAIN")[1], [f"AUTH PLAIN {PLAIN}", "QUIT"])

    def test_refused_for_now(self) -> None:
        """A 4xx keeps its code."""
        fate, _ = self.attempt({"AUTH": "454 4.7.0 later"}, "AUTH PLAIN")
        self.assertEqual(fate, f"deferred 4.7.0 SASL authentication failed; server {HOST} said: 454 4.7.0 later")

    def test_replies_that_make_no_sense(self) -> None:
        """Whatever is neither yes nor no defers."""
        fate, _ = self.attempt({"AUTH": "199 what"}, "AUTH PLAIN", soft=False)
        self.assertEqual(fate, f"deferred 4.7.0 SASL authentication failed; server {HOST} said: 199 what")

    def test_no_mechanism(self) -> None:
        """The options leave nothing of the offer: mail waits, and the log says why."""
        fate, commands = self.attempt({}, "AUTH PLAIN", policy=SaslPolicy())
        words = f"SASL authentication failed; cannot authenticate to server {HOST}: no mechanism available"
        self.assertEqual((fate, commands), (f"deferred 4.7.0 {words}", ["QUIT"]))
        why = "no mechanism of these is used: PLAIN: smtp_sasl_security_options has noplaintext"
        self.assertIn(f"warning: mx-a.example[192.0.2.1]:25 offers AUTH PLAIN: {why}", "\n".join(self.last.lines))

    def test_filter_leaves_nothing(self) -> None:
        """The filter leaves nothing, or nothing was offered."""
        rules = dataclasses.replace(OPEN, names=("plain",))
        words = (
            f"deferred 4.7.0 SASL authentication failed: server {HOST} offered no compatible authentication mechanisms "
            "for this type of connection security"
        )
        fates = [self.attempt({}, offer, policy=rules) for offer in ("AUTH GSSAPI", "AUTH")]
        self.assertEqual(fates, [(words, ["QUIT"])] * 2)

    def test_lost_connection(self) -> None:
        """A connection that ends in the middle of it."""
        fate, _ = self.attempt({"AUTH": "!close"}, "AUTH PLAIN")
        self.assertEqual(fate, f"deferred 4.4.2 lost connection with {HOST} while performing the EHLO handshake")

    def test_silence(self) -> None:
        """A server that does not answer."""
        fate, _ = self.attempt({"AUTH": "!hang"}, "AUTH PLAIN", limit=7.0)
        self.assertEqual(fate, f"deferred 4.4.2 conversation with {HOST} timed out while performing the EHLO handshake")

    def test_challenge_that_is_no_base64(self) -> None:
        """The exchange is cancelled, and the session ended in good order."""
        fate, commands = self.attempt({"AUTH": "334 %%%", "*": "501 5.7.0 cancelled"}, "AUTH CRAM-MD5")
        words = (
            f"SASL authentication failed; cannot authenticate to server {HOST}: the server's challenge is not base64"
        )
        self.assertEqual((fate, commands), (f"deferred 4.7.0 {words}", ["AUTH CRAM-MD5", "*", "QUIT"]))

    def test_one_challenge_too_many(self) -> None:
        """A server that wants more than there is."""
        fate, commands = self.attempt({"AUTH": "334 ", "*": "501 ok"}, "AUTH PLAIN")
        self.assertEqual(fate.rpartition(": ")[2], "the server asks for more than PLAIN has")
        self.assertEqual(commands[1:], ["*", "QUIT"])

    def test_yes_without_proof(self) -> None:
        """A server that says yes to SCRAM without having proven anything is an impostor: it gets no mail."""
        fate, commands = self.attempt({"AUTH": "235 2.7.0 sure"}, "AUTH SCRAM-SHA-256")
        self.assertEqual(fate.rpartition(": ")[2], "the server does not prove that it knows the password")
        self.assertEqual(commands[1:], ["QUIT"])

    def test_password_that_no_mechanism_can_carry(self) -> None:
        """A password with a NUL is not sent as something else."""
        world = self.world(Script(ehlo=["AUTH PLAIN"]))
        broken = CredentialSettings(True, _Fixed("bob:a\0b"))  # type: ignore[arg-type]
        world.means.logins.lookup = CredentialLookup(broken)  # type: ignore[union-attr]
        self.assertEqual(short(world.deliver()), ["deferred 4.7.0"])
        self.assertEqual(world.verbs("a"), "EHLO QUIT")

    def test_long_initial_response(self) -> None:
        """What would make the command too long is sent by itself (RFC 4954 section 4)."""
        long = "x" * 400
        fate, commands = self.attempt({"AUTH": "334 ", "": "235 ok"}, "AUTH PLAIN", table=f"static:bob:{long}")
        response = base64.b64encode(f"\0bob\0{long}".encode()).decode()
        self.assertEqual((fate[:10], commands[:2]), ("sent 2.0.0", ["AUTH PLAIN", response]))

    def test_dummy_mail_auth(self) -> None:
        """``AUTH=<>`` comes last in MAIL, after a login only."""
        dialogue = DialogueSettings("me.example", dummy_mail_auth=True)
        _, logged_in = self.attempt({"AUTH": "235 ok"}, "AUTH PLAIN", "SIZE", dialogue=dialogue)
        _, stranger = self.attempt({}, "AUTH PLAIN", "SIZE", dialogue=dialogue, table="inline:{x=y:z}")
        self.assertTrue(logged_in[1].endswith(" AUTH=<>"), logged_in)
        self.assertNotIn("AUTH", stranger[0])


class _Fixed:
    """A table with one answer, whatever it is."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def lookup(self, key: str, *, partial: bool = False) -> str:
        return self._answer


class Walking(LoginCase):
    """What a failed login means for the other servers."""

    def test_next_server(self) -> None:
        """With more than one session a refusal for now leads to the next server."""
        refusing = Script({"other": {"AUTH": "535 5.7.8 no"}}, ehlo=["AUTH PLAIN"])
        world = self.world(refusing, Script(ehlo=["SIZE"]), walk=WalkSettings(session_limit=5))
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a b"))

    def test_one_session(self) -> None:
        """With one session it is the end, as it is for every error after the greeting."""
        refusing = Script({"other": {"AUTH": "535 5.7.8 no"}}, ehlo=["AUTH PLAIN"])
        world = self.world(refusing, Script(ehlo=["SIZE"]))
        result = world.deliver()
        self.assertEqual((short(result), world.attempts), (["deferred 4.7.8"], "a"))
        self.assertIsNotNone(result.site_failure)


class Sharing(LoginCase):
    """Sessions of different logins are kept apart."""

    TABLE = "inline:{{a@example.com=ann:x}, {b@example.com=ben:x}, {mx-a.example=host:x}}"

    def sessions(self, *senders: str, **options: Any) -> list[list[str]]:
        """The commands of each session that messages from these senders take."""
        always = PoolSettings(destinations=frozenset({"example.org"}))
        world = self.world(Script({"other": "235 ok"}, ehlo=["AUTH PLAIN"]), pool=always, table=self.TABLE, **options)
        for sender in senders:
            self.assertEqual(short(world.deliver(sender=sender)), ["sent 2.0.0"])
        return [
            [
                base64.b64decode(c[11:]).split(b"\0")[1].decode() if c.startswith("AUTH") else c[11:-1]
                for c in session.commands
                if c.startswith(("AUTH", "MAIL"))
            ]
            for session in world.sessions("a")
        ]

    def test_senders_with_logins_of_their_own(self) -> None:
        """A message goes over a session of its own sender's login, or of the server's, and over no other."""
        taken = self.sessions("a@example.com", "b@example.com", "c@example.com", "a@example.com", "", by_sender=True)
        self.assertEqual(
            taken,
            [["ann", "a@example.com", "a@example.com"], ["ben", "b@example.com"], ["host", "c@example.com", ""]],
        )

    def test_one_login_for_all(self) -> None:
        """Where the server decides, all messages share."""
        taken = self.sessions("a@example.com", "b@example.com")
        self.assertEqual(taken, [["host", "a@example.com", "b@example.com"]])


class _Tokens:
    """Tokens without a program."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.dropped: list[tuple[str, str]] = []

    async def token(self, username: str, host: str) -> str:
        if not self.tokens:
            raise NoToken("/bin/token: exit status 1")
        return self.tokens[0]

    def refused(self, username: str, host: str) -> None:
        self.dropped.append((username, host))


class TokenLogins(SynchronousTestCase):
    """Logins with tokens; the channel is said to be encrypted."""

    def log_in(self, on: Mapping[str, Any], tokens: _Tokens, table: str = "static:bob", tls: bool = True) -> str:
        """Log in over a channel; the words of the refusal, or nothing."""
        conversation = Conversation(Script({"connect": [], "other": on}))
        login = logins(World({}), table, tokens=tokens).login("", "h", "n")
        assert login is not None
        self.conversation = conversation
        peer, offer = Peer("mx.example", "192.0.2.1", 587), Capabilities(True, {"AUTH": "PLAIN XOAUTH2"})
        try:
            conversation.run(login.run(conversation.channel, offer, peer, Protection(tls)))
        except Refused as no:
            return no.verdict.reason
        return ""

    def test_token_is_used(self) -> None:
        """An entry without a password logs in with a token."""
        self.assertEqual(self.log_in({"AUTH": "235 ok"}, _Tokens("t0ken")), "")
        sent = base64.b64decode(self.conversation.server.commands[0].removeprefix("AUTH XOAUTH2 "))
        self.assertEqual(sent, b"user=bob\x01auth=Bearer t0ken\x01\x01")

    def test_password_wins(self) -> None:
        """An entry with a password is a login with that."""
        self.log_in({"AUTH": "235 ok"}, _Tokens("t0ken"), table="static:bob:pw")
        self.assertTrue(self.conversation.server.commands[0].startswith("AUTH PLAIN "))

    def test_refused_token_is_dropped(self) -> None:
        """The server's reasons are acknowledged, the refusal is the verdict, and the token is not used again."""
        tokens = _Tokens("t0ken")
        words = self.log_in({"AUTH": "334 eyJzdGF0dXMiOiI0MDEifQ==", "": "535 5.7.8 expired"}, tokens)
        self.assertTrue(words.endswith("said: 535 5.7.8 expired"), words)
        self.assertEqual(tokens.dropped, [("bob", "mx.example")])

    def test_no_token(self) -> None:
        """Without a token mail waits, and says why."""
        words = self.log_in({}, _Tokens())
        self.assertTrue(words.endswith("mx.example[192.0.2.1]: /bin/token: exit status 1"), words)

    def test_never_in_clear_text(self) -> None:
        """Without TLS no token is even fetched."""
        words = self.log_in({}, _Tokens(), tls=False)
        self.assertTrue(words.endswith("no mechanism available"), words)


class Secrecy(LoginCase):
    """What is seen of a login, of whatever kind, with a server that repeats all it hears."""

    def seen(self, script: Script, **options: Any) -> str:
        """Everything that is produced: log, traces, transcript for the postmaster, outcomes, and Twisted's log."""
        events: list[object] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        world = self.world(script, **options)
        result = world.deliver()
        self.assertTrue(world.sessions("a"))
        return "\n".join(
            [
                *world.lines,
                repr(world.notices),
                repr(result),
                repr(world.settled),
                repr(events),
                repr(world.means.logins),
            ]
        )

    def assert_hidden(self, text: str) -> None:
        """Neither the secret, nor what holds it, stands there."""
        forms = (SECRET, PLAIN, PASSWORD, PLAIN[:12], PLAIN.rstrip("="), PASSWORD.rstrip("="))
        self.assertEqual([form for form in forms if form.lower() in text.lower()], [])

    def test_trace(self) -> None:
        """The trace has the mechanism, and ``<credentials>`` for the rest."""
        text = self.seen(Script({"other": PROMPTS}, ehlo=["AUTH LOGIN"]))
        self.assertIn(f"> {HOST}:25: AUTH LOGIN\n", text)
        self.assertIn(f"> {HOST}:25: <credentials>\n", text)
        self.assert_hidden(text)
        text = self.seen(Script({"other": "235 ok"}, ehlo=["AUTH PLAIN"]))
        self.assertIn(f"> {HOST}:25: AUTH PLAIN <credentials>\n", text)
        self.assert_hidden(text)

    def test_server_that_repeats(self) -> None:
        """A refusal that repeats the command, the password or a part of it."""
        for echo in (f"AUTH PLAIN {PLAIN}", SECRET, SECRET.upper(), PLAIN[:-9], f"'{PASSWORD}'"):
            text = self.seen(Script({"other": f"500-5.5.2 unknown: {echo}\n500 5.5.2 {echo}"}, ehlo=["AUTH PLAIN"]))
            self.assertIn("5.5.2 unknown: ", text)
            self.assert_hidden(text)

    def test_server_that_repeats_later(self) -> None:
        """The server still repeats it when it is about the mail."""
        on = {"other": "235 ok", "mail": f"550 5.7.1 {SECRET} {PLAIN}"}
        text = self.seen(Script(on, ehlo=["AUTH PLAIN"]))
        self.assertIn("550 5.7.1 <credentials>", text)
        self.assert_hidden(text)

    def test_server_that_repeats_in_garbage(self) -> None:
        """Lines that are no replies are part of what is shown, too."""
        text = self.seen(Script({"other": f"!raw what is {SECRET}?\\r\\n535 5.7.8 no\\r\\n"}, ehlo=["AUTH PLAIN"]))
        self.assert_hidden(text)

    def test_every_mechanism_that_fails(self) -> None:
        """However the exchange ends, nothing of it is seen."""
        for offer in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "GSSAPI"):
            for answer in ("535 no", "334 AAAA", "334 %", "!close", "!hang", "235 ok", "334 " + PASSWORD):
                self.assert_hidden(self.seen(Script({"other": answer}, ehlo=[f"AUTH {offer}"]), limit=5.0))

    def test_login_has_no_repr(self) -> None:
        """A login can be shown."""
        login = logins(World({})).login("", "h", "n")
        assert isinstance(login, Login)
        self.assert_hidden(repr(login) + repr(vars(login)))
