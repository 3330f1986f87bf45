"""
The files of TLS: the authorities that are trusted, and our own keys and certificates.

Everything is read when :class:`Credentials` is made, before a change of root or user, and kept in memory. Files that
change are read again, looked at no more than every ``LOOK_AGAIN`` seconds; what then cannot be read is logged once, and
what was known stays. So a renewed certificate is used without a restart, and one that vanished behind a jail goes on
being used.

``smtp_tls_CApath`` is read whole, the files whose names are hashes (``openssl rehash``), so that it need not be in the
jail.

Promises: a file that cannot be read never makes mail go in clear text: ``problem`` says what is wrong, and where TLS is
required nothing is sent until it is repaired.
"""

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from OpenSSL import crypto

from smtpclient.config.parameters import Parameters
from smtpclient.tls import pem
from smtpclient.tls.pem import Identity, PemError
from smtpclient.tls.policy import PolicyProblem
from smtpclient.tls.policy_map import MISCONFIGURED
from smtpclient.tls.tlsa import TlsaRecord

LOOK_AGAIN = 10.0

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """
    Where the files are; an empty path: there is none.

    :param pairs: certificate file and key file of each of our own certificates.
    :param chains: files with keys and certificates in one; where there are any, ``pairs`` are not looked at.
    """

    ca_file: str = ""
    ca_path: str = ""
    default_authorities: bool = False
    pairs: tuple[tuple[str, str], ...] = ()
    chains: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "CredentialFiles":
        """Take the paths from the parameters."""
        pairs = (
            (parameters.text(f"smtp_tls_{kind}cert_file"), parameters.text(f"smtp_tls_{kind}key_file"))
            for kind in ("ec", "", "d")
        )
        chains = parameters.words("smtp_tls_chain_files")
        return cls(
            parameters.text("smtp_tls_CAfile"),
            parameters.text("smtp_tls_CApath"),
            parameters.boolean("tls_append_default_CA"),
            () if chains else tuple((certificate, key) for certificate, key in pairs if certificate),
            chains,
            parameters.words("smtp_tls_trust_anchor_file"),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What the files hold. A new one is made when they change, so that it can be told by identity.

    :param problem: what cannot be read, in words for the operator.
    """

    authorities: tuple[crypto.X509, ...] = ()
    identities: tuple[Identity, ...] = ()
    problem: str = ""


_State = tuple[tuple[int, ...] | None, ...]


class Credentials:
    """
    The content of the files, kept up to date.

    :param seconds: a clock's reading.
    :param warn: takes a sentence for the operator.
    """

    def __init__(
        self, files: CredentialFiles, seconds: Callable[[], float], warn: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self._files = files
        self._seconds = seconds
        self._warn = warn
        self._anchors: dict[str, tuple[_State, tuple[TlsaRecord, ...]]] = {}
        self._looked = seconds()
        self._state = self._look(self._paths())
        self._loaded = self._load()
        if self._loaded.problem:
            warn(self._loaded.problem)
        for path in files.anchors:
            try:
                self.anchors((path,))
            except PolicyProblem as problem:
                warn(problem.detail)

    def current(self) -> Loaded:
        """What is known now."""
        now = self._seconds()
        if not 0 <= now - self._looked < LOOK_AGAIN:
            self._looked = now
            state = self._look(self._paths())
            if state != self._state:
                self._state = state
                self._reload()
        return self._loaded

    def anchors(self, paths: tuple[str, ...]) -> tuple[TlsaRecord, ...]:
        """
        The authorities in trust anchor files.

        :raises PolicyProblem: when one cannot be read, and never could.
        """
        found: list[TlsaRecord] = []
        for path in paths:
            state = self._look((path,))
            known = self._anchors.get(path)
            if known is None or known[0] != state:
                try:
                    known = self._anchors[path] = (state, pem.anchors(path, _read(path)))
                except PemError as why:
                    if known is None:
                        raise PolicyProblem(MISCONFIGURED, f"trust anchors: {why}") from None
            found += known[1]
        return tuple(found)

    def _reload(self) -> None:
        fresh = self._load()
        if fresh.problem and not self._loaded.problem:
            self._warn(f"{fresh.problem}; what was read before stays in use")
            return
        self._loaded = fresh

    def _load(self) -> Loaded:
        problems = []
        authorities: list[crypto.X509] = []
        identities: list[Identity] = []
        try:
            authorities = self._authorities()
        except PemError as why:
            problems.append(f"cannot load the certification authorities: {why}")
        try:
            identities = self._identities()
        except PemError as why:
            problems.append(f"cannot load our own certificate: {why}")
        return Loaded(tuple(authorities), tuple(identities), "; ".join(problems))

    def _authorities(self) -> list[crypto.X509]:
        found: list[crypto.X509] = []
        if self._files.ca_file:
            found += pem.certificates(self._files.ca_file, _read(self._files.ca_file))
        if self._files.ca_path:
            found += _directory(self._files.ca_path)
        if self._files.default_authorities:
            where = ssl.get_default_verify_paths()
            if where.cafile:
                found += pem.certificates(where.cafile, _read(where.cafile))
            elif where.capath:
                found += _directory(where.capath)
        return found

    def _identities(self) -> list[Identity]:
        found = []
        for certificate, key in self._files.pairs:
            chain = pem.certificates(certificate, _read(certificate))
            found.append(pem.identity(key, pem.keys(key, _read(key))[0], chain))
        for path in self._files.chains:
            found += pem.identities(path, _read(path))
        return found

    def _paths(self) -> tuple[str, ...]:
        files = self._files
        paths = (files.ca_file, files.ca_path, *(path for pair in files.pairs for path in pair), *files.chains)
        return tuple(path for path in paths if path)

    @staticmethod
    def _look(paths: tuple[str, ...]) -> _State:
        return tuple(_stamp(path) for path in paths)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as why:
        raise PemError(f"{path}: {getattr(why, 'strerror', None) or why}") from None


def _directory(path: str) -> list[crypto.X509]:
    try:
        names = sorted(name for name in os.listdir(path) if _HASHED.fullmatch(name))
    except (OSError, ValueError) as why:
        raise PemError(f"{path}: {getattr(why, 'strerror', None) or why}") from None
    found: list[crypto.X509] = []
    for name in names:
        found += pem.certificates(f"{path}/{name}", _read(f"{path}/{name}"))
    return found
