"""
Whether a server's certificate leads to one of a few authorities, as usage 2 of TLSA and trust anchor files ask.

The authority may stand in the record itself (matching type 0), as a certificate or as a bare key, or be one of those
that the server has sent. Signatures, dates and the right to sign are checked by OpenSSL, from the server's certificate
up to the authority and no further: the authority need not be a root.

Promises: the server's own certificate is never its authority (RFC 7671 section 5.2: usage 3 is for that); a chain with
a signature over MD5 or SHA-1 below the authority is none; no more than ``MOST`` certificates are looked at, for each
costs time.
"""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from smtpclient.tls.tlsa import CERTIFICATE, FULL, KEY, TlsaRecord

#: How many certificates of a server are looked at, its own included.
MOST = 10

_BROKEN = (hashes.MD5, hashes.SHA1)


def fault_of(chain: Sequence[x509.Certificate], anchors: Sequence[TlsaRecord]) -> str:
    """
    Why the first certificate leads to none of the authorities; an empty text when it does.

    :param chain: as the server sent it, its own first.
    :param anchors: records of usage 2 that can be used.
    """
    chain = chain[:MOST]
    if not serves(chain[0]):
        return "unsupported certificate purpose"
    trusted = [certificate for certificate in chain[1:] if any(record.matches(certificate) for record in anchors)]
    for record in anchors:
        if record.matching != FULL:
            continue
        if record.selector == CERTIFICATE:
            trusted.append(x509.load_der_x509_certificate(record.data))
        elif record.selector == KEY:
            signed = next((c for c in chain if _signed(c, record.data)), None)
            if signed is chain[0]:
                return _fault_of_one(chain[0])
            if signed is not None:
                trusted.append(signed)
    if not trusted:
        return "no certificate in its chain is one of the trust anchors"
    return _fault(chain, trusted)


def serves(certificate: x509.Certificate) -> bool:
    """Whether the certificate is for servers, or for anything."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _fault(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> str:
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for certificate in trusted:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    rest = [crypto.X509.from_cryptography(certificate) for certificate in chain[1:]]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(chain[0]), rest)
    try:
        verified = context.get_verified_chain()
    except crypto.X509StoreContextError as why:
        return str(why.args[0]) if why.args else "certificate verify failed"
    return _broken_signature([certificate.to_cryptography() for certificate in verified[:-1]])


def _fault_of_one(leaf: x509.Certificate) -> str:
    """A certificate signed by the authority's bare key: there is no chain to look at, but its dates."""
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    own = crypto.X509.from_cryptography(leaf)
    store.add_cert(own)
    try:
        crypto.X509StoreContext(store, own).verify_certificate()
    except crypto.X509StoreContextError as why:
        return str(why.args[0]) if why.args else "certificate verify failed"
    return _broken_signature([leaf])


def _broken_signature(certificates: Sequence[x509.Certificate]) -> str:
    for certificate in certificates:
        try:
            if isinstance(certificate.signature_hash_algorithm, _BROKEN):
                return "CA signature digest algorithm too weak"
        except UnsupportedAlgorithm:
            return "unknown signature algorithm"
    return ""


def _signed(certificate: x509.Certificate, key_info: bytes) -> bool:
    """Whether a certificate was signed with a key."""
    try:
        key = load_der_public_key(key_info)
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        algorithm = certificate.signature_hash_algorithm
        parameters = certificate.signature_algorithm_parameters
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            if not isinstance(parameters, padding.PKCS1v15 | padding.PSS):
                return False
            key.verify(signature, signed, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
