"""
What the ``smtp_tls_`` parameters say, as one frozen value; and how a requirement becomes a policy.

Promises: a list or a grade that cannot be read makes a policy with a ``problem``, never one that allows more; mail to a
server that would need it waits.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.dns.name import is_hostname
from smtpclient.tls import ciphers, fingerprint, names, versions
from smtpclient.tls import level as levels
from smtpclient.tls.level import Level
from smtpclient.tls.policy import PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.policy_map import MISCONFIGURED
from smtpclient.tls.tlsa import TlsaRecord


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """
    Levels, names, versions and ciphers; the files are in ``smtpclient.tls.credentials``.

    :param insecure_mx: what DANE does where the list of exchangers is not vouched for: dane, encrypt or may.
    :param has_dnssec: lookups ask for DNSSEC (``smtp_dns_support_level = dnssec``).
    :param mx_errors_ignored: ``ignore_mx_lookup_error``: then nobody knows which hosts are meant.
    :param force_tlsa: look up TLSA records of hosts whose addresses are not vouched for.
    :param timeout: for STARTTLS and the handshake, seconds.
    """

    level: Level = Level.MAY
    policy_maps: Tables | None = None
    protocols: str = ">=TLSv1"
    mandatory_protocols: str = ">=TLSv1"
    ciphers: str = "medium"
    mandatory_ciphers: str = "medium"
    exclude: tuple[str, ...] = ()
    mandatory_exclude: tuple[str, ...] = ()
    verify_match: tuple[str, ...] = ("hostname",)
    secure_match: tuple[str, ...] = ("nexthop", "dot-nexthop")
    fingerprints: tuple[str, ...] = ()
    digest: str = "sha256"
    servername: str = ""
    anchor_files: tuple[str, ...] = ()
    insecure_mx: Level = Level.DANE
    has_dnssec: bool = False
    mx_errors_ignored: bool = False
    force_tlsa: bool = False
    reuse: bool = False
    wrapper: bool = False
    note_offer: bool = False
    loglevel: int = 0
    timeout: float = 300.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "TlsSettings":
        """Take the settings from the parameters."""
        return cls(
            level=_level(parameters),
            policy_maps=parameters.tables("smtp_tls_policy_maps"),
            protocols=" ".join(parameters.words("smtp_tls_protocols")),
            mandatory_protocols=" ".join(parameters.words("smtp_tls_mandatory_protocols")),
            ciphers=parameters.text("smtp_tls_ciphers"),
            mandatory_ciphers=parameters.text("smtp_tls_mandatory_ciphers"),
            exclude=parameters.words("smtp_tls_exclude_ciphers"),
            mandatory_exclude=parameters.words("smtp_tls_mandatory_exclude_ciphers"),
            verify_match=_names(parameters.words("smtp_tls_verify_cert_match")),
            secure_match=_names(parameters.words("smtp_tls_secure_cert_match")),
            fingerprints=parameters.words("smtp_tls_fingerprint_cert_match"),
            digest=parameters.text("smtp_tls_fingerprint_digest"),
            servername=parameters.text("smtp_tls_servername"),
            anchor_files=parameters.words("smtp_tls_trust_anchor_file"),
            insecure_mx=levels.parse(parameters.text("smtp_tls_dane_insecure_mx_policy")),
            has_dnssec=parameters.text("smtp_dns_support_level") == "dnssec",
            mx_errors_ignored=parameters.boolean("ignore_mx_lookup_error"),
            force_tlsa=parameters.boolean("smtp_tls_force_insecure_host_tlsa_lookup"),
            reuse=parameters.boolean("smtp_tls_connection_reuse"),
            wrapper=parameters.boolean("smtp_tls_wrappermode"),
            note_offer=parameters.boolean("smtp_tls_note_starttls_offer"),
            loglevel=parameters.integer("smtp_tls_loglevel"),
            timeout=parameters.seconds("smtp_starttls_timeout"),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be read in the lists and grades: mail that needs them waits."""
        found = (self._strength(Requirement(level), level)[2] for level in (Level.MAY, Level.ENCRYPT))
        return tuple(dict.fromkeys(problem for problem in found if problem))

    def policy(
        self,
        requirement: Requirement,
        level: Level,
        next_hop: str,
        host: str,
        anchors: Callable[[tuple[str, ...]], tuple[TlsaRecord, ...]] = lambda files: (),
    ) -> TlsPolicy:
        """
        The policy of one server, at a level that is decided.

        :param next_hop: its name, without brackets and port.
        :param anchors: reads trust anchor files; raises :exc:`PolicyProblem`.
        :raises PolicyProblem: when the level cannot work so.
        """
        if level is Level.NONE:
            return TlsPolicy(level, requirement.source)
        servername = self.servername if requirement.servername is None else requirement.servername
        sni = names.expand([servername], next_hop, host)[0] if servername else ""
        if sni and not is_hostname(sni):
            raise PolicyProblem(MISCONFIGURED, f'"{servername}" is no name that a server can be asked for')
        allowed, string, problem = self._strength(requirement, level)
        reuse = self.reuse if requirement.reuse is None else requirement.reuse
        policy = TlsPolicy(
            level, requirement.source, versions=allowed, ciphers=string, sni=sni, reuse=reuse, problem=problem
        )
        if level is Level.FINGERPRINT:
            return replace(policy, fingerprints=self._fingerprints(requirement), digest=self.digest)
        if policy.uses_authorities:
            match = requirement.match or (self.secure_match if level is Level.SECURE else self.verify_match)
            files = requirement.anchor_files or self.anchor_files
            return replace(policy, match=names.expand(match, next_hop, host), anchors=anchors(files) if files else ())
        return policy

    def _strength(self, requirement: Requirement, level: Level) -> tuple[tuple[int, ...], str, str]:
        """Versions and ciphers; and the problem, where they cannot be read."""
        required = level.required
        prefix = "smtp_tls_mandatory_" if required else "smtp_tls_"
        protocols = requirement.protocols or (self.mandatory_protocols if required else self.protocols)
        grade = requirement.ciphers or (self.mandatory_ciphers if required else self.ciphers)
        exclude = self.exclude + (self.mandatory_exclude if required else ())
        if requirement.exclude is not None:
            exclude = requirement.exclude
        try:
            allowed = versions.parse(protocols)
        except ValueError as why:
            return (), "", f"{'protocols' if requirement.protocols else prefix + 'protocols'}: {why}"
        try:
            return allowed, ciphers.cipher_string(grade, exclude, authenticated=level.authenticates), ""
        except ValueError as why:
            return (), "", f"{'ciphers' if requirement.ciphers else prefix + 'ciphers'}: {why}"

    def _fingerprints(self, requirement: Requirement) -> tuple[str, ...]:
        texts = requirement.match or self.fingerprints
        if not texts:
            raise PolicyProblem(MISCONFIGURED, "security level fingerprint without fingerprints to match")
        try:
            return tuple(fingerprint.normalize(text, self.digest) for text in texts)
        except ValueError as why:
            raise PolicyProblem(MISCONFIGURED, f"smtp_tls_fingerprint_cert_match: {why}") from None


def _level(parameters: Parameters) -> Level:
    """The level; smtp_use_tls and smtp_enforce_tls count where it is not set."""
    text = parameters.text("smtp_tls_security_level")
    if text and parameters.source("smtp_tls_security_level") != "built-in":
        return levels.parse(text)
    if parameters.boolean("smtp_enforce_tls"):
        return Level.VERIFY if parameters.boolean("smtp_tls_enforce_peername") else Level.ENCRYPT
    if text or parameters.boolean("smtp_use_tls"):
        return Level.MAY
    return Level.NONE


def _names(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a list that may also be separated by colons."""
    return tuple(name for word in words for name in word.split(":") if name)
