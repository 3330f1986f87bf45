"""
Access tokens from a program of the operator's: ``smtp_sasl_token_command``.

The program is run without a shell, with the login's name and the server's host name as its last two arguments. It
prints the token on its standard output: alone, or in the JSON object that an authorization server answers with (RFC
6749 section 5.1: ``{"access_token": "...", "expires_in": 3600}``).

Promises: a token is used until shortly before it expires, and not at all after a server has refused it; however many
sessions need one at the same time, one program runs for it, and :data:`AT_ONCE` at most for all; one that takes too
long is killed. What it prints is in no log and in no exception; what it writes to standard error is in neither, for
it may repeat secrets.

Does not: speak to an authorization server. In a chroot the program must be there too, with all it needs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorProcess, IReactorTime

from smtpclient import program
from smtpclient.delivery.credentials import NoToken
from smtpclient.program import Run

AT_ONCE = 5
OUTPUT_LIMIT = 64 * 1024
# A token is fetched anew so long before its end, seconds, or a tenth of its life.
MARGIN = 60.0


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """
    How tokens are come by.

    :param command: program and arguments, quoted as for a shell; empty: there are no tokens.
    :param lifetime: of a token whose program says nothing of it, seconds.
    :param timeout: how long the program may take, seconds.
    """

    command: str = ""
    lifetime: float = 300.0
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    good_until: float


class _Run(Run):
    """One run of the program, and its output."""

    def __init__(self) -> None:
        super().__init__()
        self.output = b""

    def connectionMade(self) -> None:
        """It has nothing to read."""
        self.process.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Keep what it prints, within reason."""
        self.output = (self.output + data)[: OUTPUT_LIMIT + 1]

    def errReceived(self, data: bytes) -> None:
        """Nobody may see it."""


class TokenCommand:
    """
    Gets tokens, and keeps them as long as they are good.

    :param reactor: starts programs.
    :raises ValueError: when there is no such program, in words for the operator.
    """

    def __init__(self, settings: TokenSettings, reactor: IReactorProcess, clock: IReactorTime) -> None:
        self._settings = settings
        self._reactor = reactor
        self._clock = clock
        try:
            self._program = program.find(settings.command)
        except ValueError as why:
            raise ValueError(f"smtp_sasl_token_command = {settings.command}: {why}") from None
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._waiting: dict[tuple[str, str], list[Deferred[None]]] = {}
        self._turns = DeferredSemaphore(AT_ONCE)

    async def token(self, username: str, host: str) -> str:
        """
        A token that is good now.

        :raises NoToken: when none is to be had.
        """
        key = username, host
        while True:
            kept = self._tokens.get(key)
            if kept is not None and self._clock.seconds() < kept.good_until:
                return kept.text
            if key not in self._waiting:
                return await self._fetch(key)
            waiter: Deferred[None] = Deferred()
            self._waiting[key].append(waiter)
            await waiter

    def refused(self, username: str, host: str) -> None:
        """A server did not take the token: the next login gets a new one."""
        self._tokens.pop((username, host), None)

    async def _fetch(self, key: tuple[str, str]) -> str:
        """Run the program; who waits for the same token shares what comes of it."""
        self._waiting[key] = []
        failure: NoToken | None = None
        try:
            async with self._turns:
                token, lifetime = _read(await self._output(key))
            lifetime = self._settings.lifetime if lifetime is None else lifetime
            good_until = self._clock.seconds() + lifetime - min(MARGIN, lifetime / 10)
            self._tokens[key] = _Token(token, good_until)
            return token
        except NoToken as why:
            failure = why
            raise
        finally:
            for waiter in self._waiting.pop(key):
                if waiter.called:
                    continue
                if failure is None:
                    waiter.callback(None)
                else:
                    waiter.errback(NoToken(str(failure)))

    async def _output(self, key: tuple[str, str]) -> bytes:
        """What the program prints."""
        run, path = _Run(), self._program.path
        try:
            self._reactor.spawnProcess(run, path, [*self._program.arguments, *key], env=None)
        except (OSError, ValueError) as why:
            raise NoToken(f"{path} cannot be run: {getattr(why, 'strerror', None) or why}") from None
        how = await run.end(self._settings.timeout, self._clock)
        if how:
            raise NoToken(f"{path}: {how}")
        if len(run.output) > OUTPUT_LIMIT:
            raise NoToken(f"{path}: it prints more than a token")
        return run.output


def _read(output: bytes) -> tuple[str, float | None]:
    """
    Token and lifetime, as the program printed them.

    :raises NoToken: when it printed something else.
    """
    try:
        text = output.decode("ascii").strip()
    except UnicodeDecodeError:
        raise NoToken("smtp_sasl_token_command printed something that is no token") from None
    lifetime = None
    if text.startswith("{"):
        text, lifetime = _from_json(text)
    if not text or not text.isprintable() or " " in text:
        raise NoToken("smtp_sasl_token_command printed " + ("no token" if not text else "something that is no token"))
    return text, lifetime


def _from_json(text: str) -> tuple[str, float | None]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise NoToken("smtp_sasl_token_command printed JSON that cannot be read") from None
    token = answer.get("access_token") if isinstance(answer, Mapping) else None
    if not isinstance(token, str):
        raise NoToken("smtp_sasl_token_command printed JSON without an access_token")
    try:
        lifetime = float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        return token, None
    return token, lifetime if 0 <= lifetime < float("inf") else None
