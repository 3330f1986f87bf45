"""
Names in a main.cf that are not ours: which are another program's, which the operator's own, which a slip of the pen.

A main.cf is shared by all programs of a mail system, so most of what stands in one does not concern us. A name that is
in no row of the table is, in this order:

1. **another program's** setting, when it begins with one of :data:`PREFIXES`, ends with :data:`SUFFIX` or is one of
   :data:`NAMES`: ignored in silence;
2. **the operator's own**, when another value refers to it (``$name``, a class in ``smtpd_restriction_classes``, the
   source of an ``ldap:``, ``mysql:`` or similar table): kept for that;
3. **a fault**, when it resembles a name of ours or begins with one of :data:`OURS`: nothing would act on it, and
   the operator believes otherwise;
4. else **unknown**: warned of and ignored, since master.cf may refer to it.

Does not: know what Postfix after 3.7 has added; such a client setting is a fault.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping

from smtpclient.config.expansion import names_in

#: How settings of other programs begin.
PREFIXES = (
    "address_verify_", "anvil_", "berkeley_db_", "connection_cache_", "dnsblog_", "lmdb_", "milter_",
    "multi_instance_", "postlogd_", "postmulti_", "postscreen_", "proxymap_", "proxywrite_", "qmqpd_", "smtpd_",
    "tls_random_", "tlsmgr_", "tlsproxy_", "unverified_", "virtual_",
)  # fmt: skip

#: How a setting of a service of any name ends: that of spawn(8) and pipe(8).
SUFFIX = "_time_limit"

_OTHERS = """
    access_map_defer_code access_map_reject_code alias_database alias_maps allow_mail_to_commands
    allow_mail_to_files allow_min_user allow_percent_hack allow_untrusted_routing alternate_config_directories
    always_add_missing_headers always_bcc append_at_myorigin append_dot_mydomain application_event_drain_time
    authorized_flush_users authorized_mailq_users authorized_submit_users backwards_bounce_logfile_compatibility
    biff body_checks body_checks_size_limit bounce_service_name broken_sasl_auth_clients canonical_classes
    canonical_maps cleanup_replace_stray_cr_lf cleanup_service_name command_directory command_execution_directory
    command_expansion_filter config_directory cyrus_sasl_config_path daemon_directory
    daemon_table_open_error_is_fatal daemon_timeout data_directory debugger_command default_database_type
    default_privs default_process_limit default_rbl_reply default_verp_delimiters defer_code defer_service_name
    deliver_lock_attempts deliver_lock_delay detect_8bit_encoding_header disable_mime_input_processing
    disable_verp_bounces disable_vrfy_command dont_remove duplicate_filter_limit
    empty_address_local_login_sender_maps_lookup_key enable_original_recipient error_service_name
    execution_directory_expansion_filter expand_owner_alias export_environment fallback_transport
    fallback_transport_maps fast_flush_purge_time fast_flush_refresh_time fault_injection_code
    flush_service_name fork_attempts fork_delay forward_expansion_filter forward_path frozen_delivered_to
    header_address_token_limit header_checks header_from_format helpful_warnings home_mailbox html_directory
    import_environment info_log_address_format internal_mail_filter_classes invalid_hostname_reject_code ipc_idle
    ipc_timeout ipc_ttl known_tcp_ports local_command_shell local_delivery_status_filter
    local_header_rewrite_clients local_login_sender_maps local_recipient_maps luser_relay mail_owner
    mail_release_date mail_spool_directory mail_version mailbox_command mailbox_command_maps
    mailbox_delivery_lock mailbox_size_limit mailbox_transport mailbox_transport_maps maillog_file_compressor
    maillog_file_prefixes maillog_file_rotate_suffix mailq_path manpage_directory maps_rbl_domains
    maps_rbl_reject_code masquerade_classes masquerade_domains masquerade_exceptions master_service_disable
    max_idle max_use message_reject_characters message_strip_characters meta_directory mime_boundary_length_limit
    mime_header_checks mime_nesting_limit multi_recipient_bounce_reject_code mynetworks_style
    nested_header_checks newaliases_path non_fqdn_reject_code non_smtpd_milters openssl_path
    owner_request_special parent_domain_matches_subdomains permit_mx_backup_networks pickup_service_name
    pipe_delivery_status_filter plaintext_reject_code postlog_service_name prepend_delivered_header process_id
    process_id_directory process_name proxy_read_maps proxy_write_maps
    queue_file_attribute_count_limit queue_service_name rbl_reply_maps readme_directory receive_override_options
    recipient_bcc_maps recipient_canonical_classes recipient_canonical_maps reject_code
    reject_tempfail_action relay_clientcerts relay_domains_reject_code relay_recipient_maps relocated_maps
    remote_header_rewrite_domain require_home_directory reset_owner_alias resolve_dequoted_address
    resolve_null_domain resolve_numeric_domain respectful_logging rewrite_service_name sample_directory
    sender_bcc_maps sender_canonical_classes sender_canonical_maps
    sendmail_fix_line_endings sendmail_path service_name service_throttle_time setgid_group shlib_directory
    show_user_unknown_table_name showq_service_name smtputf8_autodetect_classes stale_lock_time stress
    strict_7bit_headers strict_8bitmime strict_8bitmime_body strict_mailbox_ownership strict_mime_encoding_domain
    strict_rfc821_envelopes strict_smtputf8 sun_mailtool_compatibility swap_bangpath tls_daemon_random_bytes
    tls_eecdh_strong_curve tls_eecdh_ultra_curve tls_preempt_cipherlist tls_server_sni_maps
    tls_session_ticket_cipher trace_service_name
    trigger_timeout undisclosed_recipients_header unknown_address_reject_code unknown_address_tempfail_action
    unknown_client_reject_code unknown_helo_hostname_tempfail_action unknown_hostname_reject_code
    unknown_local_recipient_reject_code unknown_relay_recipient_reject_code unknown_virtual_alias_reject_code
    unknown_virtual_mailbox_reject_code verp_delimiter_filter
"""

#: Other settings of other programs.
NAMES = frozenset(_OTHERS.split())

#: How our own settings begin.
OURS = (
    "smtp_",
    "lmtp_",
    "qmgr_",
    "queue_",
    "dns_",
    "default_destination_",
    "relay_",
    "hash_queue_",
    "bounce_",
    "debug_peer_",
)

_SOURCE = re.compile(r"\b(?:ldap|memcache|mongodb|mysql|pgsql|socketmap|sqlite):([A-Za-z0-9_-]+)")


def is_elsewhere(name: str) -> bool:
    """Whether another program of a mail system has a setting of this name."""
    if name in NAMES or name.startswith(PREFIXES):
        return True
    return name.endswith(SUFFIX) and not name.startswith(OURS)


class OwnNames:
    """
    The names that values refer to.

    :param values: every setting, unexpanded.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._names = set().union(*map(names_in, values.values()))
        self._names.update(re.split(r"[\s,]+", values.get("smtpd_restriction_classes", "")))
        self._sources = tuple(f"{source}_" for value in values.values() for source in _SOURCE.findall(value))

    def __contains__(self, name: str) -> bool:
        return name in self._names or (bool(self._sources) and name.startswith(self._sources))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was most likely meant to be."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.85)
    return close[0] if close else None


def looks_like_ours(name: str, known: Collection[str]) -> bool:
    """Whether an unknown name was probably meant for us."""
    return name.startswith(OURS) or nearest(name, known) is not None
