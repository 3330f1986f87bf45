"""
The account of a play: what was promised, what has come of it, and what was violated.

A letter counts as promised when ``submit`` or ``sendmail`` has said so; of one that was killed before it could say,
either all or nothing may have been done. Of each recipient:

1. it was delivered, or its sender has a report of its failure, and not both;
2. it was delivered a second time only where nobody had heard the server's yes when the process died;
3. what was delivered is whole;
4. a failure is in no more reports than there were processes; where a report of success was asked for, there is one;
5. nothing is left in the queue directory, but what nobody was promised.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.torture.letters import LETTERS, SENDER, Letter
from tests.torture.sink import Acceptance, Memory

_ENDS: Mapping[str, tuple[bool, bool]] = {
    "good": (True, False),
    "later": (True, False),
    "bounce": (False, True),
    "never": (True, True),
    "fickle": (True, True),
}
"""Whether an address may be delivered to, and whether it may be reported as failed."""


class Account:
    """
    The end of one play.

    :param lives: how many processes there were.
    """

    def __init__(self, base: Path, memory: Memory, lives: int) -> None:
        self._base, self._memory, self._lives = base, memory, lives
        promises = base / "promises"
        lines = promises.read_text().splitlines() if promises.exists() else []
        self.promised = {int(line.split()[0]) for line in lines}
        self._mail = [each for each in memory.accepted if each.sender == SENDER]
        self._reports = [each for each in memory.accepted if not each.sender]

    def violations(self) -> Iterator[str]:
        """What is not as it should be, in words."""
        begun = {each.number for each in self._memory.accepted}
        for letter in LETTERS:
            if letter.number in self.promised | begun:
                for user, address in zip(letter.users, letter.recipients, strict=True):
                    yield from self._recipient(letter, user, address)
        for acceptance in self._mail:
            if acceptance.body != LETTERS[acceptance.number].body:
                yield f"message {acceptance.number} was not delivered whole: {acceptance.body[-60:]!r}"
        yield from self._twice("report", "", self._reports)
        yield from self._left()

    @property
    def doubled(self) -> int:
        """How many recipients were delivered to twice, or reported twice."""
        pairs = [(each.number, address) for each in self._mail for address in each.recipients]
        pairs += [(-1 - each.number, address) for each in self._reports for address, _ in each.reported]
        return len(pairs) - len(set(pairs))

    def _recipient(self, letter: Letter, user: str, address: str) -> Iterator[str]:
        deliveries = [each for each in self._mail if each.number == letter.number and address in each.recipients]
        failures = self._reported(address, "failed")
        may_be_delivered, may_fail = _ENDS[user]
        if not deliveries and not failures:
            yield f"lost: {address}"
        if deliveries and failures:
            yield f"{address} was delivered and reported as failed"
        if deliveries and not may_be_delivered:
            yield f"{address} was delivered"
        if failures and not may_fail:
            yield f"{address} was reported as failed"
        yield from self._twice("delivery", f" to {address}", deliveries)
        if len(failures) > self._lives:
            yield f"{len(failures)} reports of {address}"
        if "-N" in letter.options and deliveries and not self._reported(address, "relayed"):
            yield f"no report of the delivery to {address}"

    def _reported(self, address: str, action: str) -> set[str]:
        """The reports that say this of a recipient."""
        return {each.message_id for each in self._reports if (address, action) in each.reported}

    def _twice(self, what: str, of_whom: str, acceptances: list[Acceptance]) -> Iterator[str]:
        """Complain about what was taken again although the first yes had been heard."""
        by_id: dict[str, list[bool]] = {}
        for acceptance in acceptances:
            by_id.setdefault(acceptance.message_id, []).append(acceptance.confirmed)
        for heard in by_id.values():
            if len(heard) > self._lives or any(heard[:-1]):
                yield f"one {what}{of_whom} {len(heard)} times: {heard}"

    def _left(self) -> Iterator[str]:
        spool = self._base / "spool"
        for folder in ("incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "maildrop"):
            for path in (spool / folder).rglob("*"):
                if path.is_file() and (path.stat().st_mode & 0o100 or folder != "incoming"):
                    yield f"left: {path.relative_to(spool)}"
        output = self._base / "output"
        if output.exists() and output.stat().st_size:
            yield f"unforeseen: {output.read_text()[-1000:]}"
