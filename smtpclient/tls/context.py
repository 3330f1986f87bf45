"""
OpenSSL contexts: one for each set of versions, ciphers and files that a policy asks for, and connections made of them.

A context is dear (it holds the authorities) and a connection is cheap, so contexts are kept: those that differ only in
what is checked after the handshake share one. When a file changes, new connections get new contexts.

Promises: the handshake itself never fails for a certificate: it is recorded what is wrong with it, and judged
afterwards by the policy (``smtpclient.tls.certificate``), so that the log can say what a server had shown. The peer is
the same all along: there is no renegotiation.

Known limits: where there are several certificates of our own, the chains of all of them are sent.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from smtpclient.tls.certificate import Presented
from smtpclient.tls.credentials import Credentials, Loaded
from smtpclient.tls.policy import TlsPolicy
from smtpclient.tls.versions import SPOKEN

_MOST_CONTEXTS = 100
_WITHOUT = {
    0x0301: SSL.OP_NO_TLSv1,
    0x0302: SSL.OP_NO_TLSv1_1,
    0x0303: SSL.OP_NO_TLSv1_2,
    0x0304: SSL.OP_NO_TLSv1_3,
}
# What X509_verify_cert_error_string says of the codes that mail servers meet.
_FAULTS = {
    2: "unable to get issuer certificate",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    22: "certificate chain too long",
    23: "certificate revoked",
    24: "invalid CA certificate",
    25: "path length constraint exceeded",
    26: "unsuitable certificate purpose",
    66: "EE certificate key too weak",
    67: "CA certificate key too weak",
    68: "CA signature digest algorithm too weak",
}


class ContextProblem(Exception):
    """No context can be made; the text is for the operator."""


@implementer(IOpenSSLClientConnectionCreator)
@dataclass(slots=True)
class Connecting:
    """
    One connection to come, and what its server presents.

    :param sni: the name to ask for; empty: none.
    :param session: an earlier one to resume.
    """

    context: SSL.Context
    sni: str = ""
    session: SSL.Session | None = None
    faults: list[tuple[int, int, str]] = field(default_factory=list)
    was_shown: bool = False

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the connection; called by Twisted."""
        connection = SSL.Connection(self.context, None)
        connection.set_verify(SSL.VERIFY_PEER, self._note)
        if self.sni:
            connection.set_tlsext_host_name(self.sni.encode("ascii"))
        if self.session is not None:
            connection.set_session(self.session)
        return connection

    def _note(self, _: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
        self.was_shown = True
        if not good:
            subject = "/".join(f"{k.decode()}={v.decode('utf-8', 'replace')}" for k, v in _components(certificate))
            self.faults.append((code, depth, subject))
        return True

    def is_resumed(self, connection: SSL.Connection) -> bool:
        """Whether the session is the earlier one; then the server need not show anything again."""
        return self.session is not None and not self.was_shown and connection.get_peer_certificate() is not None

    def presented(self, connection: SSL.Connection) -> Presented:
        """What the server has shown, when the handshake is over."""
        certificates: list[x509.Certificate] = []
        for certificate in connection.get_peer_cert_chain() or ():
            try:
                certificates.append(certificate.to_cryptography())
            except Exception:  # more strictly read than by OpenSSL; the library has many words for what is wrong
                break
        return Presented(tuple(certificates), self._fault())

    def _fault(self) -> str:
        if not self.faults:
            return ""
        code, depth, subject = self.faults[0]
        words = _FAULTS.get(code, f"certificate verification error {code}")
        return words if depth == 0 else f"{words} ({subject})"


def _components(certificate: crypto.X509) -> Sequence[tuple[bytes, bytes]]:
    try:
        return certificate.get_subject().get_components()
    except Exception:  # for the log only
        return ()


class Contexts:
    """
    The contexts that are in use.

    :param depth: the longest chain of certificates to an authority; 0: no limit of ours.
    """

    def __init__(self, credentials: Credentials, depth: int = 0) -> None:
        self._credentials = credentials
        self._depth = depth
        self._loaded: Loaded | None = None
        self._contexts: dict[tuple[object, ...], SSL.Context] = {}

    def connecting(self, policy: TlsPolicy, session: SSL.Session | None = None) -> Connecting:
        """
        A connection under a policy.

        :raises ContextProblem: when there cannot be one.
        """
        return Connecting(self._context(policy), policy.sni, session)

    def prepare(self, policy: TlsPolicy) -> None:
        """
        Make the context of a policy early, before mail waits for it.

        What stands in the way is not said here: it is logged when the files are read, and when a server needs it.
        """
        if policy.versions:
            with suppress(ContextProblem):
                self._context(policy)

    def _context(self, policy: TlsPolicy) -> SSL.Context:
        loaded = self._credentials.current()
        if policy.problem:
            raise ContextProblem(policy.problem)
        if loaded.problem and policy.level.required:
            raise ContextProblem(loaded.problem)
        if loaded is not self._loaded:
            self._contexts.clear()
            self._loaded = loaded
        key = (policy.versions, policy.ciphers)
        context = self._contexts.get(key)
        if context is None:
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.pop(next(iter(self._contexts)))
            try:
                context = self._contexts[key] = _new(policy, loaded, self._depth)
            except SSL.Error as why:
                raise ContextProblem(f"OpenSSL takes neither these versions nor these ciphers: {why}") from None
        return context


def _new(policy: TlsPolicy, loaded: Loaded, depth: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(policy.versions[0])
    context.set_max_proto_version(policy.versions[-1])
    for number in SPOKEN:
        if policy.versions[0] < number < policy.versions[-1] and number not in policy.versions:
            context.set_options(_WITHOUT[number])
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 kB for each idle connection
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(policy.ciphers.encode("ascii"))
    if depth:
        context.set_verify_depth(depth)
    store = context.get_cert_store()
    if store is not None:
        for authority in loaded.authorities:
            store.add_cert(authority)
    for identity in loaded.identities:
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        for certificate in identity.chain:
            context.add_extra_chain_cert(certificate)
    return context
