"""Tokens from a program: fetched once, kept as long as they are good, never shown."""

import json
import os
import stat
import sys
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from smtpclient.delivery.access_token import OUTPUT_LIMIT, NoToken, TokenCommand, TokenSettings

SECRET = "ya29.Secret_token"


class _Clock(Clock):
    """A clock of its own for tokens; the time limit of programs is real."""

    def callLater(self, when: float, what: Any, *args: Any, **kw: Any) -> Any:
        return reactor.callLater(when, what, *args, **kw)  # type: ignore[attr-defined]


class TokenCase(TestCase):
    """A program written in Python, which notes every run."""

    def setUp(self) -> None:
        self.clock: Clock = _Clock()
        self.runs = os.path.abspath(self.mktemp())
        open(self.runs, "w").close()

    def program(self, text: str, **settings: Any) -> TokenCommand:
        """A program that does this with ``sys``, ``time`` and ``print``."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            note = f"import sys, time\nprint(*sys.argv[1:], file=open({self.runs!r}, 'a'))\n"
            file.write(f"#!{sys.executable} -S\n{note}{text}\n")
        os.chmod(path, stat.S_IRWXU)
        command = f"{path} --account 'my account'"
        return TokenCommand(TokenSettings(command, **settings), reactor, self.clock)  # type: ignore[arg-type]

    @property
    def noted(self) -> list[str]:
        """The arguments of every run."""
        with open(self.runs) as file:
            return file.read().splitlines()

    async def failure(self, tokens: TokenCommand) -> str:
        """Why there is no token; it never holds the secret."""
        try:
            await tokens.token("u", "h")
        except NoToken as why:
            self.assertNotIn(SECRET, repr(why))
            return str(why)
        raise AssertionError("there was a token")


class Fetching(TokenCase):
    """What the program may print."""

    async def test_arguments_and_bare_token(self) -> None:
        """The program gets its own arguments, the login's name and the server's; its output is the token."""
        tokens = self.program(f"print({SECRET!r})")
        self.assertEqual(await tokens.token("me@example.com", "mx.example"), SECRET)
        self.assertEqual(self.noted, ["--account my account me@example.com mx.example"])

    async def test_json(self) -> None:
        """What an authorization server answers is understood."""
        answer = json.dumps({"access_token": SECRET, "expires_in": 3600, "token_type": "Bearer"})
        self.assertEqual(await self.program(f"print({answer!r})").token("u", "h"), SECRET)

    async def test_what_is_no_token(self) -> None:
        """Nothing, several words, binary, and JSON without a token are told apart, and nothing of them is repeated."""
        outputs = {
            "print()": "smtp_sasl_token_command printed no token",
            f"print('error', {SECRET!r})": "smtp_sasl_token_command printed something that is no token",
            f"sys.stdout.buffer.write(b'\\xff{SECRET}')": "smtp_sasl_token_command printed something that is no token",
            f"print('{{{SECRET}')": "smtp_sasl_token_command printed JSON that cannot be read",
            f'print(\'{{"error": "{SECRET}"}}\')': "smtp_sasl_token_command printed JSON without an access_token",
        }
        told = {text: await self.failure(self.program(text)) for text in outputs}
        self.assertEqual(told, outputs)

    async def test_failing_program(self) -> None:
        """A program that fails is named with its exit status; what it says is not shown."""
        words = await self.failure(self.program(f"print({SECRET!r}); print({SECRET!r}, file=sys.stderr); sys.exit(3)"))
        self.assertTrue(words.endswith(": exit status 3"), words)

    async def test_program_that_takes_too_long(self) -> None:
        """It is killed, and the next login tries again."""
        self.clock = Clock()
        tokens = self.program("time.sleep(300)", timeout=0.3)
        for runs in (1, 2):
            failing = defer.Deferred.fromCoroutine(self.failure(tokens))
            while len(self.noted) < runs:
                await deferLater(reactor, 0.02)  # type: ignore[arg-type]
            self.clock.advance(0.3)
            self.assertTrue((await failing).endswith(": killed after 0.3 seconds"))
        self.assertEqual(len(self.noted), 2)

    async def test_program_that_leaves_something_running(self) -> None:
        """What it leaves behind with its output open is waited for no longer than for the program itself."""
        words = await self.failure(self.program("import os\nif not os.fork(): time.sleep(20)", timeout=1.0))
        self.assertTrue(words.endswith(": killed after 1 seconds"), words)

    async def test_program_that_prints_without_end(self) -> None:
        """What it prints is bounded in memory, and is no token."""
        words = await self.failure(self.program(f"print('x' * {OUTPUT_LIMIT * 2})"))
        self.assertIn("prints more than a token", words)

    async def test_program_that_is_gone(self) -> None:
        """A program that was removed after the start is a failure of the login, no more."""
        tokens = self.program("")
        os.unlink(tokens._program.path)
        self.assertRegex(await self.failure(tokens), "cannot be run|exit status")

    def test_no_such_program(self) -> None:
        """A program that is not there is refused at the start, in words."""
        for command in ("/no/such/program x", "'", ""):
            settings = TokenSettings(command)
            error = self.assertRaises(ValueError, TokenCommand, settings, reactor, self.clock)
            self.assertIn("smtp_sasl_token_command", str(error))


class Keeping(TokenCase):
    """How long a token is used."""

    def counting(self, answer: str, **settings: Any) -> TokenCommand:
        """A program whose tokens are numbered."""
        return self.program(f"n = len(open({self.runs!r}).readlines())\nprint({answer!r} % n)", **settings)

    async def test_until_shortly_before_its_end(self) -> None:
        """A token of an hour is fetched anew a minute before that."""
        tokens = self.counting('{"access_token": "t%d", "expires_in": 3600}')
        got = []
        for moment in (0, 3539, 1):
            self.clock.advance(moment)
            got.append(await tokens.token("u", "h"))
        self.assertEqual(got, ["t1", "t1", "t2"])

    async def test_lifetime_that_nobody_says(self) -> None:
        """A bare token lasts as long as the parameter says, less a tenth."""
        tokens = self.counting("t%d", lifetime=100.0)
        got = []
        for moment in (0, 89, 1):
            self.clock.advance(moment)
            got.append(await tokens.token("u", "h"))
        self.assertEqual(got, ["t1", "t1", "t2"])

    async def test_lifetime_that_makes_no_sense(self) -> None:
        """What is no lifetime counts as not said."""
        for value in ("-1", '"soon"', "null", "1e999"):
            tokens = self.program(f'print(\'{{"access_token": "t", "expires_in": {value}}}\')', lifetime=100.0)
            await tokens.token("u", "h")
            self.assertEqual(tokens._tokens["u", "h"].good_until, self.clock.seconds() + 90)

    async def test_refused(self) -> None:
        """A token that a server has refused is not used again."""
        tokens = self.counting("t%d")
        first = await tokens.token("u", "h")
        tokens.refused("u", "h")
        tokens.refused("nobody", "h")
        self.assertEqual([first, await tokens.token("u", "h")], ["t1", "t2"])

    async def test_each_login_has_its_own(self) -> None:
        """Another name, or another server, has another token."""
        tokens = self.counting("t%d")
        got = [await tokens.token(*login) for login in (("u", "h"), ("v", "h"), ("u", "i"), ("u", "h"))]
        self.assertEqual(len({*got}), 3)

    async def test_many_at_once(self) -> None:
        """Ten sessions that need the same token at the same time run one program."""
        tokens = self.counting("t%d")
        started = [defer.Deferred.fromCoroutine(tokens.token("u", "h")) for _ in range(10)]
        self.assertEqual([await one for one in started], ["t1"] * 10)
        self.assertEqual(len(self.noted), 1)

    async def test_failure_for_many_at_once(self) -> None:
        """When it fails, it has failed for all who wait."""
        tokens = self.program("sys.exit(1)")
        started = [defer.Deferred.fromCoroutine(tokens.token("u", "h")) for _ in range(3)]
        results = await defer.DeferredList(started, consumeErrors=True)
        self.assertEqual([ok for ok, _ in results], [False] * 3)
        self.assertEqual(len(self.noted), 1)

    async def test_cancelled(self) -> None:
        """Whoever is cancelled ends its program; another who waits gets a token all the same."""
        tokens = self.program("time.sleep(0.2)\nprint('t')")
        first, second = (defer.Deferred.fromCoroutine(tokens.token("u", "h")) for _ in range(2))
        first.addErrback(lambda failure: failure.trap(defer.CancelledError))
        first.cancel()
        self.assertEqual(await second, "t")

    async def test_secrecy(self) -> None:
        """No token is in a ``repr()`` of what keeps it."""
        tokens = self.program(f"print({SECRET!r})")
        await tokens.token("u", "h")
        self.assertNotIn(SECRET, repr(tokens) + repr(tokens._tokens))
