"""
Postfix's main.cf, as a delivery agent below its master has to understand it.

What a delivery agent acts on is read by the one reader of parameters (``smtpclient.config.parameters``), which refuses
by name what would silently not be honoured. Three things are different from a main.cf of our own:

* **What nobody has set is as in Postfix**, also where our own default is that of the manual page
  (:data:`POSTFIX_DEFAULTS`): an operator who changes one line in master.cf has read Postfix's documents.
* **What is another daemon's is not looked at**: the queue manager, bounce(8) and cleanup(8) are Postfix's here, so that
  their settings may say whatever Postfix understands.
* What every Postfix daemon reads (``max_idle``, ``daemon_timeout`` and their like) is in :class:`ProcessSettings`.

Promises: a setting that a delivery agent acts on is honoured or refused, never passed over.

Does not: know settings that came after Postfix 3.7 (``smtpclient.config.elsewhere``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from smtpclient.config import maincf
from smtpclient.config.elsewhere import OwnNames, is_elsewhere
from smtpclient.config.expansion import Expander, ExpansionError, names_in
from smtpclient.config.kinds import parse_integer, parse_time
from smtpclient.config.parameters import ROWS, TRANSPORT_SUFFIXES, ConfigurationError, Parameters
from smtpclient.postfix.invocation import Invocation

_PIX = "disable_esmtp,delay_dotcrlf"

#: Postfix's own defaults (3.7), where ours are others; and what its other parameters refer to.
POSTFIX_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "mail_name": "Postfix",
        "queue_directory": "/var/spool/postfix",
        "syslog_name": "${multi_instance_name?{$multi_instance_name}:{postfix}}",
        "mydestination": "$myhostname, localhost.$mydomain, localhost",
        "relay_domains": "${{$compatibility_level} <level {2} ? {$mydestination} : {}}",
        "fast_flush_domains": "$relay_domains",
        "smtp_mx_address_limit": "5",
        "smtp_mx_session_limit": "2",
        "smtp_pix_workarounds": _PIX,
        "smtp_skip_4xx_greeting": "yes",
        "smtp_skip_5xx_greeting": "yes",
        "smtp_tls_security_level": "",
        "lmtp_pix_workarounds": _PIX,
        "lmtp_skip_4xx_greeting": "yes",
        "lmtp_tls_secure_cert_match": "nexthop",
        # Nothing of ours; values refer to them.
        "compatibility_level": "0",
        "command_directory": "/usr/sbin",
        "daemon_directory": "/usr/lib/postfix/sbin",
        "data_directory": "/var/lib/postfix",
        "default_database_type": "hash",
        "mail_owner": "postfix",
        "multi_instance_name": "",
        "max_idle": "100s",
        "daemon_timeout": "18000s",
    }
)

#: Sections of the table that are about what other daemons do.
_OTHERS_SECTIONS = frozenset({"Routing", "Queue", "Queue: how much at a time", "Reports", "New messages"})

#: What a delivery agent acts on all the same.
_OURS = frozenset(
    {
        "2bounce_notice_recipient",
        "best_mx_transport",
        "bounce_notice_recipient",
        "bounce_size_limit",
        "delay_notice_recipient",
        "double_bounce_sender",
        "enable_long_queue_ids",
        "error_notice_recipient",
        "fallback_relay",
        "hash_queue_depth",
        "hash_queue_names",
        "notify_classes",
        "queue_directory",
        "recipient_delimiter",
        "relayhost",
        "smtp_fallback_relay",
        "soft_bounce",
    }
)

#: Of every daemon below master, or of master's lines alone.
_OF_MASTER = (
    "config_directory",
    "daemon_timeout",
    "deliveries_per_process",
    "mail_owner",
    "max_idle",
    "max_use",
    "multi_instance_name",
    "process_name",
    "service_name",
)

#: Of cleanup(8) and smtpd(8); or of nobody here, for postlogd(8) has its own way to the log.
_NOT_OURS = frozenset({"smtputf8_enable", "maillog_file", *_OF_MASTER})


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """
    How a process below master lives.

    :param max_idle: it ends after so long without a connection, seconds.
    :param max_use: it ends after so many requests, as soon as there is nothing to do; 0: it does not matter.
    :param daemon_timeout: after so long without an answer the queue manager gives up, on us and on itself; seconds.
    :param mail_owner: who it runs as without root.
    :param deliveries: how many may be under way in one process before master is asked for another; 0: not set.
    """

    max_idle: float = 100.0
    max_use: int = 0
    daemon_timeout: float = 18000.0
    mail_owner: str = "postfix"
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    What main.cf and the options in master.cf come to.

    :param parameters: None: they cannot be used, and no mail must be delivered by half of them.
    :param problems: why.
    :param queue_directory: where the queue is, whatever else is wrong.
    :param log_name: the name in front of the process's in log lines.
    """

    process: ProcessSettings
    queue_directory: str
    log_name: str
    parameters: Parameters | None = None
    problems: tuple[str, ...] = ()


def read(start: Invocation) -> Configuration:
    """The configuration of a service; never raises: what is wrong is in it."""
    problems: list[str] = []
    settings = maincf.Settings({}, {})
    overrides: list[maincf.Override] = []
    try:
        settings = maincf.read(f"{start.folder}/main.cf")
    except ConfigurationError as why:
        problems += why.problems
    for text in start.settings:
        try:
            overrides.append(maincf.override(text))
        except ConfigurationError as why:
            problems += why.problems
    return _configuration(start, settings, overrides, problems)


def _configuration(
    start: Invocation, settings: maincf.Settings, overrides: Iterable[maincf.Override], problems: list[str]
) -> Configuration:
    built_in = {
        **POSTFIX_DEFAULTS,
        "config_directory": start.folder,
        "service_name": start.service,
        "process_name": start.process,
    }
    if start.log_tag:
        # As master has it; what master.cf says for this service counts more.
        built_in["syslog_name"] = start.log_tag
        settings = maincf.Settings(
            {name: value for name, value in settings.values.items() if name != "syslog_name"},
            settings.sources,
            settings.warnings,
        )
    values, sources = {**built_in, **settings.values}, dict(settings.sources)
    for change in overrides:
        values[change.name], sources[change.name] = change.value, change.source
    process = ProcessSettings()
    parameters = None
    try:
        process = _process(values, sources)
        parameters = Parameters.from_values(_ours(values), sources=sources, warnings=settings.warnings)
        problems += _not_here(parameters)
    except ConfigurationError as why:
        problems += why.problems
    return Configuration(
        process,
        _text(values, "queue_directory"),
        _text(values, "syslog_name") or "postfix",
        None if problems else parameters,
        tuple(problems),
    )


def _not_here(parameters: Parameters) -> list[str]:
    """What is honoured by a service of our own, and cannot be by processes that come and go."""
    name = "smtp_tls_reporting"
    if not parameters.boolean(name):
        return []
    return [f"{parameters.source(name)}: {name} = yes: nobody sends the reports below Postfix's master; remove it"]


def _ours(values: Mapping[str, str]) -> dict[str, str]:
    """What is left for the reader: the settings of others only where ours refer to them."""
    own = OwnNames(values)
    kept = {name: value for name, value in values.items() if not _is_others(name) and name not in own}
    kept.update((name, value) for name, value in values.items() if name in ROWS and not _is_others(name))
    while wanted := set().union(*map(names_in, kept.values())) & (values.keys() - kept.keys()):
        kept.update((name, values[name]) for name in wanted)
    # The tables that it may name are flush(8)'s; whether there is anything is all that a delivery agent asks.
    kept["fast_flush_domains"] = "some" if _text(values, "fast_flush_domains") else ""
    return kept


def _is_others(name: str) -> bool:
    """Whether a setting is one that a delivery agent does not act on."""
    if name in _OURS:
        return False
    if name in _NOT_OURS or name.startswith(("qmgr_", "bounce_")):
        return True
    row = ROWS.get(name)
    if row is not None:
        # How many connections there may be to one server follows from how many deliveries to one destination.
        return row.section in _OTHERS_SECTIONS and not name.endswith("_destination_concurrency_limit")
    return is_elsewhere(name) or any(name.endswith("_" + suffix) for suffix in TRANSPORT_SUFFIXES)


def _process(values: Mapping[str, str], sources: Mapping[str, str]) -> ProcessSettings:
    """
    What every daemon below master reads.

    :raises ConfigurationError: with each value that is none.
    """
    problems: list[str] = []
    expander = Expander(values.get)

    def number(name: str, default: float, least: float, parse: type[int] | type[float]) -> float:
        try:
            text = (expander.value(name) or "").strip()
            if not text:
                return default
            found = parse_integer(text) if parse is int else parse_time(text)
            if found < least:
                raise ValueError(f"expected at least {least:g}")
        except ValueError as why:
            source = sources.get(name, "built-in")
            problems.append(f"{source}: {name} = {values.get(name, '')}: {why}")
            return default
        return found

    settings = ProcessSettings(
        max_idle=number("max_idle", 100.0, 1, float),
        max_use=int(number("max_use", 0, 0, int)),
        daemon_timeout=number("daemon_timeout", 18000.0, 1, float),
        mail_owner=_text(values, "mail_owner") or "postfix",
        deliveries=int(number("deliveries_per_process", 0, 0, int)),
    )
    if problems:
        raise ConfigurationError(problems)
    return settings


def _text(values: Mapping[str, str], name: str) -> str:
    """A value; the built-in one where it cannot be expanded."""
    try:
        return (Expander(values.get).value(name) or "").strip()
    except ExpansionError:
        return POSTFIX_DEFAULTS.get(name, "")
