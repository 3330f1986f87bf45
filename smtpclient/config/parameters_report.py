"""
The parameters of what comes in and what is told: new messages, reports, logs.

Part of the one table that ``smtpclient.config.parameters`` puts together. Names, defaults and meaning are Postfix's,
but for what the product calls itself; each sentence is ours.
"""

from smtpclient.config.kinds import Kind, Row, one_word, section

_BOOLEAN, _INTEGER, _SIZE, _TIME = Kind.BOOLEAN, Kind.INTEGER, Kind.SIZE, Kind.TIME
_STRING, _LIST = Kind.STRING, Kind.LIST

#: What a postmaster can be told of.
_CLASSES = ("2bounce", "bounce", "data", "delay", "policy", "protocol", "resource", "software")

REPORT_ROWS = section(
    "Reports",
    Row("notify_classes", _LIST, "resource, software", "What the postmaster is told of.", choices=_CLASSES),
    Row(
        "bounce_notice_recipient",
        _STRING,
        "postmaster",
        "Who gets the headers of returned mail and, for the class protocol, transcripts of rejections.",
    ),
    Row("2bounce_notice_recipient", _STRING, "postmaster", "Who gets reports that cannot be returned."),
    Row("delay_notice_recipient", _STRING, "postmaster", "Who gets the headers of delayed mail."),
    Row("error_notice_recipient", _STRING, "postmaster", "Who is told of the other classes of trouble."),
    Row(
        "delay_warning_time",
        _TIME,
        "0h",
        "After what time a sender is told that mail is delayed; 0 means never.",
        minimum=0,
        unit="h",
    ),
    Row(
        "confirm_delay_cleared",
        _BOOLEAN,
        "no",
        "Tell a sender who was warned when the mail has left after all.",
        honoured=False,
        only=("no",),
    ),
    Row(
        "fast_flush_domains",
        _STRING,
        "$relay_domains",
        "With the defer service postfix, and if not empty: flush(8) hears of mail that waits. It knows for whom.",
    ),
    Row("bounce_size_limit", _SIZE, "50000", "How much of a message goes back with a report.", minimum=1),
    Row(
        "double_bounce_sender",
        _STRING,
        "double-bounce",
        "The sender of postmaster mail; what fails for this sender is not reported again.",
        check=one_word,
    ),
    Row(
        "empty_address_recipient",
        _STRING,
        "MAILER-DAEMON",
        "Who gets mail to the null address.",
        check=one_word,
        honoured=False,
        only=("MAILER-DAEMON",),
    ),
    Row("bounce_template_file", _STRING, "", "Texts for reports.", honoured=False, only=("",)),
    Row(
        "enable_threaded_bounces",
        _BOOLEAN,
        "no",
        "Let a report refer to its message, so that readers show them together.",
    ),
)

INTAKE_ROWS = section(
    "New messages",
    Row("message_size_limit", _SIZE, "10240000", "The largest message taken; 0 means no limit.", minimum=0),
    Row(
        "mynetworks",
        Kind.LIST,
        "127.0.0.0/8, [::1]/128",
        "Networks whose clients may send mail anywhere through the server of --submission.",
    ),
    Row("hopcount_limit", _INTEGER, "50", "With this many Received: headers a message counts as looping.", minimum=1),
    Row(
        "line_length_limit",
        _SIZE,
        "2048",
        "Longer lines are stored in pieces.",
        minimum=512,
        honoured=False,
        only=("2048",),
    ),
    Row("header_size_limit", _SIZE, "102400", "How much of one header is looked at.", minimum=1),
    Row(
        "message_drop_headers",
        _LIST,
        "bcc, content-length, resent-bcc, return-path",
        "Headers that are removed from new messages.",
    ),
)

LOG_ROWS = section(
    "Log",
    Row("maillog_file", _STRING, "", "The file for the mail log; when empty, it goes where twistd logs."),
    Row("syslog_name", _STRING, "smtpclient", "The name before each process's name in the mail log.", check=one_word),
    Row(
        "syslog_facility",
        _STRING,
        "mail",
        "The facility of log lines that go to syslog.",
        choices=(
            "auth",
            "authpriv",
            "cron",
            "daemon",
            "ftp",
            "kern",
            "lpr",
            "mail",
            "news",
            "security",
            "syslog",
            "user",
            "uucp",
            *(f"local{number}" for number in range(8)),
        ),
        honoured=False,
        only=("mail",),
    ),
    Row(
        "delay_logging_resolution_limit",
        _INTEGER,
        "2",
        "How many digits of a second delays are logged with.",
        minimum=0,
        maximum=6,
        honoured=False,
        only=("2",),
    ),
    Row(
        "debug_peer_list",
        Kind.PATTERNS,
        "",
        "Servers whose sessions are logged line by line: domains, addresses, networks, or /files of these.",
    ),
    Row(
        "debug_peer_level",
        _INTEGER,
        "2",
        "How much is logged of them: 1 what is said, 2 also how long each reply took.",
        minimum=1,
    ),
)
