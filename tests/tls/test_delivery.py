"""Deliveries over TLS, and not over TLS, with real servers."""

import os
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smtpclient.mail.outcome import Outcome
from smtpclient.tls import credentials
from tests.tls.certificates import authority, issue
from tests.tls.tls_world import OLD, Behaviour, TlsWorld, short

CA = authority()
LEAF = issue("", ["mx-0.example.org", "mx-1.example.org"], CA)
SELF = issue("mx-0.example.org", ["mx-0.example.org"])
GOOD, PLAIN = Behaviour(LEAF), Behaviour(LEAF, starttls=False)
WHOLE = "EHLO STARTTLS <TLS> EHLO MAIL RCPT DATA QUIT"
IN_CLEAR = "EHLO MAIL RCPT DATA QUIT"
LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint", "dane", "dane-only")
REQUIRED = ("encrypt", "verify", "secure")


class Deliveries(TestCase):
    timeout = 120

    def setUp(self) -> None:
        """A folder with the authority in it."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(CA.pem)

    def world(self, *servers: Behaviour, **values: Any) -> TlsWorld:
        """Servers, and an agent with these parameters (without smtp_tls_, and level for the security level)."""
        full = {"smtp_tls_CAfile": str(self.ca)}
        if "level" in values:
            full["smtp_tls_security_level"] = values.pop("level")
        full |= {
            name if name.startswith(("smtp_", "tls_")) else "smtp_tls_" + name: str(values[name]) for name in values
        }
        return TlsWorld(self, *servers, values=full)


class Levels(Deliveries):
    async def test_matrix(self) -> None:
        """What each level does with servers that are good, do not offer TLS, are self-signed, or another's."""
        other = Behaviour(issue("", ["elsewhere.test"], CA))
        rows = {
            "good": (GOOD, {"none": "clear", "may": "tls", "encrypt": "tls", "verify": "tls", "secure": "tls"}),
            "plain": (
                PLAIN,
                {"none": "clear", "may": "clear", "encrypt": "4.7.4", "verify": "4.7.4", "secure": "4.7.4"},
            ),
            "self-signed": (
                Behaviour(SELF),
                {"none": "clear", "may": "tls", "encrypt": "tls", "verify": "4.7.5", "secure": "4.7.5"},
            ),
            "other": (other, {"none": "clear", "may": "tls", "encrypt": "tls", "verify": "4.7.5", "secure": "4.7.5"}),
        }
        found: dict[str, dict[str, str]] = {}
        for name, (server, wanted) in rows.items():
            for level in wanted:
                world = self.world(server, level=level)
                outcome = await world.deliver(age=OLD)
                found.setdefault(name, {})[level] = world.delivered[0][1] if world.delivered else outcome.status
        self.assertEqual(found, {name: wanted for name, (_, wanted) in rows.items()})

    async def test_default(self) -> None:
        """Without a word about TLS, mail goes over TLS to whoever offers it."""
        world = self.world(GOOD)
        outcome = await world.deliver()
        self.assertEqual((short(outcome), world.seen()), ("sent 2.0.0", ["0: " + WHOLE]))
        self.assertIn("TLSv1.3 with cipher TLS_", outcome.tls)

    async def test_log(self) -> None:
        """The log has a line for each session, with the trust that the server has earned."""
        rows = (
            ("may", GOOD, "Trusted"),
            ("may", Behaviour(SELF), "Untrusted"),
            ("may", Behaviour(None), "Anonymous"),
            ("secure", GOOD, "Verified"),
        )
        for level, server, word in rows:
            world = self.world(server, level=level)
            await world.deliver()
            peer = f"mx-0.example.org[127.0.1.1]:{world.ports[0]}"
            self.assertIn(f"{word} TLS connection established to {peer}: TLSv1.", world.log)

    async def test_log_level(self) -> None:
        """Level 0 has no line for a session that goes well; level 2 shows the certificate."""
        world = self.world(GOOD, loglevel=0)
        await world.deliver()
        self.assertEqual(world.lines, [])
        world = self.world(Behaviour(SELF), loglevel=2)
        await world.deliver()
        self.assertIn("certificate of CN=mx-0.example.org for mx-0.example.org", world.log)
        self.assertIn("certificate verification failed for mx-0.example.org[127.0.1.1]:", world.log)

    async def test_reason_and_log_of_a_refused_certificate(self) -> None:
        """Mail stays, the reason is Postfix's, and the log names the check and the certificate."""
        world = self.world(Behaviour(issue("", ["elsewhere.test"], CA)), level="secure")
        outcome = await world.deliver(age=OLD)
        self.assertEqual((short(outcome), outcome.reason), ("deferred 4.7.5", "Server certificate not verified"))
        self.assertEqual(world.seen(), ["0: EHLO STARTTLS <TLS> QUIT"])
        self.assertIn("hostname mismatch, expected example.org or .example.org: certificate of", world.log)
        self.assertIn("for elsewhere.test, issued by CN=Test CA", world.log)

    async def test_dates_and_purpose(self) -> None:
        """An expired certificate, one of tomorrow, and one for clients are none."""
        for days, words in (((-9, -1), "certificate has expired"), ((1, 9), "certificate is not yet valid")):
            world = self.world(Behaviour(issue("", ["mx-0.example.org"], CA, days=days)), level="secure")
            self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.5")
            self.assertIn("untrusted: " + words, world.log)

    async def test_note_starttls_offer(self) -> None:
        """Where TLS is not used, servers that offer it are noted, if that is asked for."""
        world = self.world(GOOD, level="none", note_starttls_offer="yes")
        await world.deliver()
        self.assertIn("Host offered STARTTLS: [mx-0.example.org]", world.log)
        world = self.world(PLAIN, level="none", note_starttls_offer="yes")
        await world.deliver()
        self.assertNotIn("STARTTLS", world.log)

    async def test_fingerprint(self) -> None:
        """A fingerprint of the certificate will do; a wrong one does not, though the authority is known."""
        fingerprint = SELF.tlsa(3, 0, 1).data.hex(":")
        world = self.world(
            Behaviour(SELF), level="fingerprint", fingerprint_digest="sha256", fingerprint_cert_match=fingerprint
        )
        self.assertEqual((short(await world.deliver()), world.delivered), ("sent 2.0.0", [(0, "tls")]))
        world = self.world(GOOD, level="fingerprint", fingerprint_digest="sha256", fingerprint_cert_match=fingerprint)
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.5")


class Stripped(Deliveries):
    async def test_not_offered(self) -> None:
        """Whoever takes STARTTLS out of a reply gets no mail where TLS is required."""
        for level in REQUIRED:
            world = self.world(PLAIN, level=level)
            outcome = await world.deliver(age=OLD)
            self.assertEqual(short(outcome), "deferred 4.7.4")
            self.assertIn("TLS is required, but was not offered by host mx-0.example.org[127.0.1.1]", outcome.reason)
            self.assertEqual(world.seen(), ["0: EHLO QUIT"])

    async def test_refused(self) -> None:
        """A refusal of STARTTLS ends in clear text at may, and in the server's own code elsewhere."""
        for reply, status in (("454 4.7.0 Not now", "deferred 4.7.0"), ("501 5.5.4 No", "bounced 5.5.4")):
            world = self.world(Behaviour(LEAF, reply=reply), level="may")
            self.assertEqual((short(await world.deliver()), world.delivered), ("sent 2.0.0", [(0, "clear")]))
            self.assertEqual(world.seen(), ["0: EHLO STARTTLS MAIL RCPT DATA QUIT"])
            world = self.world(Behaviour(LEAF, reply=reply), level="encrypt")
            outcome = await world.deliver(age=OLD)
            self.assertEqual((short(outcome), world.delivered), (status, []))
            self.assertIn("refused to start TLS: " + reply, outcome.reason)

    async def test_injected(self) -> None:
        """
        Plaintext behind the 220 of STARTTLS is dropped with a warning, and is no part of what was said inside TLS.

        The injected reply to EHLO would switch off what the server can do, and refuse the mail.
        """
        for inject in ("250-evil.test\r\n250 SIZE 1\r\n", "250 ok\r\n550 no\r\n", "250-evil", "\r\n"):
            world = self.world(Behaviour(LEAF, inject=inject), level="secure")
            outcome = await world.deliver()
            self.assertEqual((short(outcome), world.delivered), ("sent 2.0.0", [(0, "tls")]), inject)
            self.assertEqual(world.seen(), ["0: " + WHOLE])
            if inject.strip():
                self.assertIn("sent plaintext before TLS, which is dropped: 250", world.log)

    async def test_capabilities_are_forgotten(self) -> None:
        """RFC 3207 section 4.2: what was offered in clear text counts for nothing inside TLS."""
        world = self.world(Behaviour(LEAF, replies={"EHLO": "250 mx.example"}))
        await world.deliver()
        self.assertEqual(world.seen(), ["0: " + WHOLE])
        world = self.world(Behaviour(LEAF, replies={"EHLO": "502 5.5.1 No", "HELO": "250 mx.example"}))
        await world.deliver()
        self.assertEqual(world.seen(), ["0: EHLO STARTTLS <TLS> EHLO HELO MAIL RCPT DATA QUIT"])


class Fallback(Deliveries):
    async def test_broken_handshakes(self) -> None:
        """A young message waits; an old one goes in clear text over the same address, at may and nowhere else."""
        for after in ("garbage", "close"):
            broken = Behaviour(LEAF, after=after)
            world = self.world(broken, level="may")
            outcome = await world.deliver()
            self.assertEqual(
                (short(outcome), outcome.reason), ("deferred 4.7.5", "Cannot start TLS: handshake failure")
            )
            self.assertEqual(world.seen(), ["0: EHLO STARTTLS"])
            outcome = await world.deliver(age=OLD)
            self.assertEqual((short(outcome), outcome.tls, world.delivered), ("sent 2.0.0", "", [(0, "clear")]))
            self.assertEqual(world.seen()[1:], ["0: EHLO STARTTLS", "0: " + IN_CLEAR])
            self.assertIn(f"SSL_connect error to mx-0.example.org[127.0.1.1]:{world.ports[0]}: ", world.log)
            for level in REQUIRED:
                world = self.world(broken, level=level)
                self.assertEqual((short(await world.deliver(age=OLD)), world.delivered), ("deferred 4.7.5", []))

    async def test_silence(self) -> None:
        """A server that says nothing more is left after smtp_starttls_timeout."""
        world = self.world(Behaviour(LEAF, after="silence"), level="encrypt", smtp_starttls_timeout="0.2s")
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.5")
        self.assertIn(": Connection timed out", world.log)

    async def test_no_common_version(self) -> None:
        """Nothing in common is a failed handshake; the log has OpenSSL's words."""
        old = Behaviour(LEAF, versions=(SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION))
        world = self.world(old, level="encrypt", mandatory_protocols=">=TLSv1.3")
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.5")
        self.assertIn("version", world.log)

    async def test_lost_inside(self) -> None:
        """A connection that is lost inside TLS counts as TLS in the way."""
        for verb in ("EHLO", "MAIL", "RCPT", "DATA"):
            cut = Behaviour(LEAF, cut_at=verb)
            world = self.world(cut, level="may")
            self.assertEqual(short(await world.deliver()), "deferred 4.4.2")
            self.assertEqual((short(await world.deliver(age=OLD)), world.delivered), ("sent 2.0.0", [(0, "clear")]))
            world = self.world(cut, level="encrypt")
            self.assertEqual((short(await world.deliver(age=OLD)), world.delivered), ("deferred 4.4.2", []))

    async def test_a_refusal_inside_is_none(self) -> None:
        """A server that says no inside TLS is not asked again in clear text."""
        world = self.world(Behaviour(LEAF, replies={"RCPT": "450 4.2.0 Later"}))
        self.assertEqual((short(await world.deliver(age=OLD)), len(world.seen())), ("deferred 4.2.0", 1))

    async def test_clear_text_refused(self) -> None:
        """A server whose TLS is broken and that takes nothing in clear text returns the mail."""
        world = self.world(Behaviour(LEAF, after="close", clear_mail="530 5.7.0 Must issue STARTTLS"))
        self.assertEqual(short(await world.deliver(age=OLD)), "bounced 5.7.0")

    async def test_the_same_address_first(self) -> None:
        """An old message tries the same address in clear text before the next one with TLS; a young one goes on."""
        world = self.world(Behaviour(LEAF, after="close"), GOOD)
        await world.deliver(age=OLD)
        self.assertEqual(world.delivered, [(0, "clear")])
        world = self.world(Behaviour(LEAF, after="close"), GOOD)
        await world.deliver()
        self.assertEqual(world.delivered, [(1, "tls")])


class SeveralServers(Deliveries):
    async def test_the_next_one(self) -> None:
        """A server that does not live up to the policy sends us to the next, whatever the session limit."""
        for bad in (PLAIN, Behaviour(SELF), Behaviour(LEAF, after="close"), Behaviour(LEAF, reply="454 4.7.0 No")):
            world = self.world(bad, GOOD, level="verify")
            outcome = await world.deliver()
            self.assertEqual((short(outcome), world.delivered), ("sent 2.0.0", [(1, "tls")]))

    async def test_a_refusal_is_final(self) -> None:
        """A 5xx to STARTTLS returns the mail, as with Postfix."""
        world = self.world(Behaviour(LEAF, reply="501 5.5.4 No"), GOOD, level="encrypt")
        self.assertEqual((short(await world.deliver()), world.sessions[1]), ("bounced 5.5.4", []))


class PolicyMaps(Deliveries):
    async def test_by_next_hop(self) -> None:
        """An entry decides for its next hop, and for no other."""
        world = self.world(PLAIN, policy_maps="inline:{{example.org = encrypt}, {.example.net = none}}")
        wanted = {"example.org": "deferred 4.7.4", "example.com": "sent 2.0.0", "a.example.net": "sent 2.0.0"}
        found = {next_hop: short(await world.deliver(next_hop=next_hop)) for next_hop in wanted}
        self.assertEqual(found, wanted)

    async def test_match(self) -> None:
        """match= replaces the names that are asked for."""
        for match, status in (("mx-0.example.org", "sent 2.0.0"), ("elsewhere.test", "deferred 4.7.5")):
            world = self.world(GOOD, policy_maps=f"inline:{{{{example.org = secure match={match}}}}}")
            self.assertEqual(short(await world.deliver()), status)

    async def test_broken_entry(self) -> None:
        """An entry that cannot be read makes mail wait; nobody is contacted."""
        world = self.world(GOOD, policy_maps="inline:{{example.org = very-secure}}")
        outcome = await world.deliver(age=OLD)
        self.assertEqual((short(outcome), outcome.reason), ("deferred 4.7.5", "client TLS configuration problem"))
        self.assertEqual((world.seen(), outcome.peer), ([], None))
        self.assertIn('destination "example.org": invalid security level "very-secure"', world.log)
        self.assertIn("TLS policy lookup for example.org: client TLS configuration problem", world.log)

    async def test_trust_anchor_file(self) -> None:
        """tafile= replaces the authorities; the root need not be sent."""
        own = authority("own")
        anchor = self.folder / "own.pem"
        anchor.write_bytes(own.pem)
        world = self.world(
            Behaviour(issue("", ["mx-0.example.org"], own)),
            policy_maps=f"inline:{{{{example.org = secure tafile={anchor}}}}}",
        )
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        world = self.world(GOOD, level="secure", trust_anchor_file=anchor)
        self.assertEqual(short(await world.deliver()), "deferred 4.7.5")

    async def test_sni(self) -> None:
        """No name is asked for unless one is set."""
        world = self.world(GOOD)
        await world.deliver()
        self.assertEqual(world.sessions[0][0].sni, "")
        world = self.world(GOOD, servername="literal.example")
        await world.deliver()
        self.assertEqual(world.sessions[0][0].sni, "literal.example")
        world = self.world(GOOD, policy_maps="inline:{{example.org = encrypt servername=hostname}}")
        await world.deliver()
        self.assertEqual(world.sessions[0][0].sni, "mx-0.example.org")


class Strength(Deliveries):
    async def test_versions(self) -> None:
        """Versions are those of the lists; the old ones work where no certificate is looked at."""
        first, last = SSL.TLS1_VERSION, SSL.TLS1_3_VERSION
        rows = {
            ("may", ">=TLSv1", (first, first)): "TLSv1",
            ("may", ">=TLSv1.2", (first, last)): "TLSv1.3",
            ("may", "!TLSv1.3", (first, last)): "TLSv1.2",
            ("may", "TLSv1.1", (first, last)): "TLSv1.1",
            ("may", "TLSv1 TLSv1.2", (first, SSL.TLS1_1_VERSION)): "TLSv1",
            ("may", ">=TLSv1.2", (first, first)): "",
        }
        found = {}
        for level, protocols, versions in rows:
            world = self.world(Behaviour(LEAF, versions=versions), level=level, protocols=protocols)
            await world.deliver()
            found[level, protocols, versions] = world.sessions[0][0].version
        self.assertEqual(found, rows)

    async def test_typo(self) -> None:
        """A typo never ends in clear text where the server offers TLS; the log names the parameter."""
        for name, value in (("protocols", "TLSv9"), ("ciphers", "splendid")):
            world = self.world(GOOD, level="may", **{name: value})
            self.assertIn(f'warning: smtp_tls_{name}: "{value}" is no', world.log)
            outcome = await world.deliver(age=OLD)
            self.assertEqual((short(outcome), world.seen()), ("deferred 4.7.5", ["0: EHLO QUIT"]))
            self.assertEqual(world.log.count(f'smtp_tls_{name}: "{value}"'), 2)
            world = self.world(PLAIN, level="may", **{name: value})
            self.assertEqual(short(await world.deliver()), "sent 2.0.0")

    async def test_unknown_cipher(self) -> None:
        """Exclusions that leave nothing defer."""
        world = self.world(GOOD, level="encrypt", mandatory_exclude_ciphers="ALL", mandatory_protocols="TLSv1.2")
        self.assertEqual((short(await world.deliver(age=OLD)), world.delivered), ("deferred 4.7.5", []))


class Wrapper(Deliveries):
    async def test_port_465(self) -> None:
        """TLS from the first byte, without STARTTLS."""
        world = self.world(Behaviour(LEAF, wrapper=True), level="verify", wrappermode="yes")
        outcome = await world.deliver()
        self.assertEqual((short(outcome), world.seen()), ("sent 2.0.0", ["0: <TLS> EHLO MAIL RCPT DATA QUIT"]))

    async def test_wrong_certificate(self) -> None:
        """What is wrong is wrong before the greeting, too."""
        world = self.world(Behaviour(SELF, wrapper=True), level="verify", wrappermode="yes")
        self.assertEqual(short(await world.deliver()), "deferred 4.7.5")

    async def test_needs_tls(self) -> None:
        """Wrapper mode needs a level that requires TLS; else nobody is contacted, and the log says why."""
        for level in ("none", "may"):
            world = self.world(Behaviour(LEAF, wrapper=True), level=level, wrappermode="yes")
            self.assertEqual((short(await world.deliver(age=OLD)), world.seen()), ("deferred 4.3.0", []))
            self.assertIn("smtp_tls_wrappermode requires", world.log)

    async def test_plain_server(self) -> None:
        """A server that speaks SMTP there has no TLS."""
        world = self.world(PLAIN, level="encrypt", wrappermode="yes")
        outcome = await world.deliver()
        self.assertEqual((short(outcome), outcome.reason), ("deferred 4.7.5", "Cannot start TLS: handshake failure"))


class OurFiles(Deliveries):
    async def test_our_certificate(self) -> None:
        """A server that asks for our certificate gets it."""
        client = issue("client.example", ["client.example"], CA)
        chain = self.folder / "chain.pem"
        chain.write_bytes(client.key_pem + client.pem + CA.pem)
        world = self.world(Behaviour(LEAF, asks=True), chain_files=chain)
        await world.deliver()
        self.assertEqual(world.sessions[0][0].client, "client.example")
        world = self.world(Behaviour(LEAF, asks=True))
        await world.deliver()
        self.assertEqual((world.sessions[0][0].client, world.delivered), ("", [(0, "tls")]))

    async def test_unreadable_authorities(self) -> None:
        """An authority file that cannot be read never switches TLS off; where TLS is required mail waits."""
        for level, wanted in (("may", ("sent 2.0.0", [(0, "tls")])), ("secure", ("deferred 4.7.5", []))):
            world = self.world(GOOD, level=level, CAfile=self.folder / "missing")
            outcome = await world.deliver(age=OLD)
            self.assertEqual((short(outcome), world.delivered), wanted)
            self.assertIn("warning: cannot load the certification authorities: ", world.log)
            if level == "secure":
                self.assertEqual(outcome.reason, "TLS is required, but our TLS engine is unavailable")

    async def test_files_are_read_early(self) -> None:
        """What is read when the agent is made serves it for good, also where nothing can be read any more."""
        self.patch(credentials, "LOOK_AGAIN", 0.0)
        client = issue("client.example", ["client.example"], CA)
        chain = self.folder / "chain.pem"
        chain.write_bytes(client.key_pem + client.pem)
        world = self.world(Behaviour(LEAF, asks=True), level="secure", chain_files=chain)
        self.ca.unlink()
        chain.unlink()
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        self.assertEqual(world.sessions[0][0].client, "client.example")

    async def test_a_changed_file(self) -> None:
        """A new authority is trusted without a restart, and one that was taken away is not."""
        self.patch(credentials, "LOOK_AGAIN", 0.0)
        world = self.world(GOOD, level="secure")
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        self.ca.write_bytes(authority("another").pem)
        self.assertEqual(short(await world.deliver()), "deferred 4.7.5")
        self.ca.write_bytes(CA.pem)
        os.utime(self.ca, (1, 1))
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")


class Reuse(Deliveries):
    async def test_sessions_in_tls(self) -> None:
        """A session in TLS carries one message, unless smtp_tls_connection_reuse says otherwise."""
        for reuse, connections in (("no", 2), ("yes", 1)):
            world = self.world(GOOD, level="secure", connection_reuse=reuse)
            for _ in range(2):
                self.assertEqual(short(await world.deliver(backlog=True)), "sent 2.0.0")
            self.assertEqual(len(world.sessions[0]), connections)

    async def test_a_policy_is_not_crossed(self) -> None:
        """A session that was good enough for one requirement is not used for another one."""
        world = self.world(
            Behaviour(SELF), level="encrypt", connection_reuse="yes", policy_maps=f"texthash:{self.table('')}"
        )
        self.assertEqual(short(await world.deliver(backlog=True)), "sent 2.0.0")
        self.table("example.org secure\n")
        await deferLater(reactor, 1.1, lambda: None)  # tables look at their files once a second
        self.assertEqual(short(await world.deliver(backlog=True)), "deferred 4.7.5")

    def table(self, text: str) -> Path:
        """A policy map with this text."""
        path = self.folder / "policy"
        path.write_text("other.test none\n" + text)
        return path

    async def test_clear_text_fallback_is_not_shared(self) -> None:
        """A session that fell back to clear text is for its message alone."""
        world = self.world(Behaviour(LEAF, after="close"))
        for _ in range(2):
            await world.deliver(age=OLD, backlog=True)
        self.assertEqual([str(session) for session in world.sessions[0]], ["EHLO STARTTLS", IN_CLEAR] * 2)

    async def test_resumed_sessions(self) -> None:
        """With a session cache the second session is resumed, and as trusted as the first."""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            world = self.world(
                Behaviour(LEAF, versions=(version, version)), level="secure", session_cache_database="memory:"
            )
            outcomes: list[Outcome] = [await world.deliver() for _ in range(2)]
            self.assertEqual([short(outcome) for outcome in outcomes], ["sent 2.0.0"] * 2)
            lines = [line.split(" to ")[0] for line in world.lines]
            self.assertEqual(lines, ["Verified TLS connection established", "Verified TLS connection reused"])
