"""
MTA-STS policies that were fetched, kept in ``sts/`` of the queue directory, one small file for each domain.

A policy that is known protects mail also while the domain's records or its web server cannot be reached, by accident or
because somebody sees to it (RFC 8461 section 10.2): so it is kept until its ``max_age`` has passed, over restarts too.

A file's modification time says when mail last needed it, to the day.

Promises: what cannot be read is no policy, and is said in the log; no more than :data:`MOST` domains are kept, and who
makes us learn many does not push out what was learnt before, but what is out of date.

Several processes may share the folder: each looks whether a file has changed before it relies on what it has read.

Known limits: with :data:`MOST` policies that are all in force, a new one is remembered in memory only, until a restart.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from smtpclient.dns.name import is_hostname
from smtpclient.queue.files import Files
from smtpclient.tls.state_file import StateFolder
from smtpclient.tls.sts_policy import PolicyInvalid, StsPolicy, parse

FOLDER = "sts"
MOST = 10_000
SHORTEST_AGE = 60.0  # a policy without duration would be fetched for each message
_DAY = 86_400.0

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """
    A policy, and where it comes from.

    :param policy_id: that of the record for which it was fetched.
    :param fetched: seconds since the epoch.
    """

    domain: str
    policy_id: str
    fetched: float
    policy: StsPolicy

    @property
    def expires(self) -> float:
        """When it is no longer in force, seconds since the epoch."""
        return self.fetched + max(self.policy.max_age, SHORTEST_AGE)


class StsCache:
    """
    The policies in one queue directory.

    :param directory: the queue directory.
    :param warn: takes a sentence for the operator.
    :ivar is_writable: policies are kept on disk; else only for this process, which is not the service.
    """

    def __init__(self, files: Files, directory: str, warn: Callable[[str], None], most: int = MOST) -> None:
        self._folder = StateFolder(files, f"{directory}/{FOLDER}")
        self._warn = warn
        self._most = most
        self.is_writable = True
        self._known: dict[str, tuple[_Stamp, KeptPolicy | None]] = {}
        self._used: dict[str, float] = {}

    def get(self, domain: str, now: float) -> KeptPolicy | None:
        """
        The policy of a domain that is in force.

        :param domain: lower case, A-labels.
        :param now: seconds since the epoch.
        """
        stamp = self._stamp(domain)
        if domain not in self._known or self._known[domain][0] != stamp:
            self._remember(domain, stamp, self._read(domain))
        kept = self._known[domain][1]
        return kept if kept is not None and now < kept.expires else None

    def note_use(self, domain: str, now: float) -> None:
        """Mail needs the policy of a domain."""
        if self.is_writable and not 0 <= now - self._used.get(domain, 0.0) < _DAY:
            self._used[domain] = now
            try:
                self._folder.touch(domain, now)
            except OSError:  # it is one that had no room on disk
                return

    async def put(self, kept: KeptPolicy, now: float) -> None:
        """Keep a policy, in place of an earlier one of the domain. A full disk is said in the log."""
        last_used = self.last_used(kept.domain)
        self._known.pop(kept.domain, None)  # so that it is the youngest
        self._remember(kept.domain, self._stamp(kept.domain), kept)
        if not self.is_writable:
            return
        try:
            if not last_used and not self._has_room(now):
                self._warn(
                    f"{self._folder.path} holds {self._most} MTA-STS policies; that of {kept.domain} is not kept"
                )
                return
            await self._folder.write(kept.domain, _encode(kept))
            self._folder.touch(kept.domain, last_used or now)
            self._remember(kept.domain, self._stamp(kept.domain), kept)
        except OSError as why:
            self._warn(f"cannot keep the MTA-STS policy of {kept.domain}: {why}")

    def last_used(self, domain: str) -> float:
        """When mail last needed the policy of a domain, to the day; 0 when nothing is known of it."""
        status = self._folder.status(domain)
        return status.st_mtime if status is not None else 0.0

    def sweep(self) -> None:
        """Remove what an earlier service left unfinished."""
        try:
            self._folder.sweep()
        except OSError as why:
            self._warn(f"cannot clear {self._folder.path}: {why}")

    def kept(self) -> Iterator[KeptPolicy]:
        """All that is on disk, whether it is still in force or not, read as it is asked for."""
        try:
            for name in self._folder.names():
                found = self._read(name) if is_hostname(name) else None
                if found is not None:
                    yield found
        except OSError as why:
            self._warn(f"cannot look through the MTA-STS policies: {why}")

    def forget(self, domain: str) -> None:
        """Remove what is known of a domain."""
        self._known.pop(domain, None)
        self._used.pop(domain, None)
        try:
            self._folder.remove(domain)
        except OSError as why:
            self._warn(f"cannot remove the MTA-STS policy of {domain}: {why}")

    def _has_room(self, now: float) -> bool:
        if sum(1 for _ in self._folder.names()) < self._most:
            return True
        gone = [kept.domain for kept in self.kept() if now >= kept.expires]
        for domain in gone:
            self._folder.remove(domain)
        return bool(gone)

    def _stamp(self, domain: str) -> _Stamp:
        status = self._folder.status(domain)
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status is not None else None

    def _remember(self, domain: str, stamp: _Stamp, kept: KeptPolicy | None) -> None:
        while domain not in self._known and len(self._known) >= self._most:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._used.pop(oldest, None)
        self._known[domain] = stamp, kept

    def _read(self, domain: str) -> KeptPolicy | None:
        try:
            data = self._folder.read(domain)
            return None if data is None else _decode(domain, data)
        except (OSError, ValueError) as why:
            self._warn(f"cannot read {self._folder.path}/{domain}: {why}")
            return None


def _encode(kept: KeptPolicy) -> bytes:
    fields = {"domain": kept.domain, "id": kept.policy_id, "fetched": kept.fetched, "policy": kept.policy.text}
    return json.dumps(fields, indent=1).encode("ascii") + b"\n"


def _decode(domain: str, data: bytes) -> KeptPolicy:
    """
    What a file holds.

    :raises ValueError: when it is none of ours.
    """
    try:
        fields = json.loads(data)
        policy = parse(fields["policy"].encode())
        kept = KeptPolicy(fields["domain"], str(fields["id"]), float(fields["fetched"]), policy)
    except (PolicyInvalid, KeyError, TypeError, AttributeError, RecursionError) as why:
        raise ValueError(f"not a policy that was kept: {why}") from None
    if kept.domain != domain:
        raise ValueError(f"a policy of {kept.domain!a} in the file of {domain}")
    return kept
