"""
The parameters of the queue: where it lies, when messages are tried, how many at once.

Part of the one table that ``smtpclient.config.parameters`` puts together. Names, defaults and meaning are Postfix's;
each sentence is ours.
"""

from smtpclient.config.kinds import Kind, Row, feedback, one_word, section

_BOOLEAN, _INTEGER, _SIZE, _TIME = Kind.BOOLEAN, Kind.INTEGER, Kind.SIZE, Kind.TIME
_STRING, _LIST, _TABLES = Kind.STRING, Kind.LIST, Kind.TABLES

#: The folders of a queue directory, which may be spread over subfolders.
_FOLDERS = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")

IDENTITY_ROWS = section(
    "Names",
    Row("myhostname", Kind.DOMAIN, "", "This machine's full name; by default what the system calls it."),
    Row("mydomain", Kind.DOMAIN, "", "This machine's domain; by default $myhostname without its first label."),
    Row(
        "myorigin",
        Kind.DOMAIN,
        "$myhostname",
        "The domain that addresses without one get; a /file stands for the name in its first line.",
    ),
    Row("mail_name", _STRING, "smtpclient", "What this mail system calls itself in headers and reports."),
    Row(
        "compatibility_level",
        _STRING,
        "0",
        "Postfix's level of compatibility; it decides nothing here, but values may refer to it.",
    ),
)

QUEUE_ROWS = section(
    "Queue",
    Row("queue_directory", _STRING, "/var/spool/smtpclient", "The directory that holds the queue.", check=one_word),
    Row(
        "hash_queue_names",
        _LIST,
        "deferred, defer",
        "The queue folders whose files are spread over subfolders.",
        choices=_FOLDERS,
    ),
    Row("hash_queue_depth", _INTEGER, "1", "How many levels of subfolders such a folder has.", minimum=1, maximum=7),
    Row("enable_long_queue_ids", _BOOLEAN, "no", "Give out long queue ids, which are never used twice."),
    Row(
        "queue_minfree",
        _SIZE,
        "0",
        "Take no new message when the queue's file system has less free space than this; 0 turns the check off.",
        minimum=0,
    ),
    Row("queue_run_delay", _TIME, "300s", "How often the queue is searched for messages that are due.", minimum=1),
    Row(
        "minimal_backoff_time", _TIME, "300s", "The shortest wait before a deferred message is tried again.", minimum=1
    ),
    Row(
        "maximal_backoff_time", _TIME, "4000s", "The longest wait before a deferred message is tried again.", minimum=1
    ),
    Row(
        "maximal_queue_lifetime",
        _TIME,
        "5d",
        "How long a message is tried before it goes back to its sender; 0 means once.",
        minimum=0,
        maximum=8640000,
        unit="d",
    ),
    Row(
        "bounce_queue_lifetime",
        _TIME,
        "5d",
        "The same for messages without sender, such as reports.",
        minimum=0,
        maximum=8640000,
        unit="d",
    ),
    Row(
        "transport_retry_time",
        _TIME,
        "60s",
        "How long a destination or transport that failed is left alone before other messages try it.",
        minimum=1,
    ),
    Row("qmgr_message_active_limit", _INTEGER, "20000", "The most messages worked on at a time.", minimum=1),
    Row("qmgr_message_recipient_limit", _INTEGER, "20000", "The most recipients held in memory at a time.", minimum=1),
    Row(
        "qmgr_message_recipient_minimum",
        _INTEGER,
        "10",
        "How many recipients a message may have to be worked on whatever $qmgr_message_recipient_limit says.",
        minimum=1,
    ),
    Row(
        "qmgr_clog_warn_time",
        _TIME,
        "300s",
        "How often to warn that one destination holds up the queue; 0 means never.",
        minimum=0,
    ),
    Row("soft_bounce", _BOOLEAN, "no", "Defer what would be returned: for trying out a new configuration."),
)

CONCURRENCY_ROWS = section(
    "Queue: how much at a time",
    Row(
        "default_destination_concurrency_limit",
        _INTEGER,
        "20",
        "The most simultaneous deliveries to one destination; 0 means no limit.",
        minimum=0,
    ),
    Row(
        "default_destination_recipient_limit",
        _INTEGER,
        "50",
        "The most recipients in one delivery; 0 means no limit; "
        "1 makes the destination's limits count for each recipient on its own.",
        minimum=0,
    ),
    Row(
        "initial_destination_concurrency",
        _INTEGER,
        "5",
        "How many simultaneous deliveries a destination gets at first.",
        minimum=1,
    ),
    Row(
        "default_destination_concurrency_positive_feedback",
        _STRING,
        "1",
        "By how much a success raises a destination's concurrency.",
        check=feedback,
    ),
    Row(
        "default_destination_concurrency_negative_feedback",
        _STRING,
        "1",
        "By how much a failure to reach a destination lowers its concurrency.",
        check=feedback,
    ),
    Row(
        "default_destination_concurrency_failed_cohort_limit",
        _INTEGER,
        "1",
        "After how many rounds of failures a destination counts as dead; 0 means never.",
        minimum=0,
    ),
    Row(
        "default_destination_rate_delay",
        _TIME,
        "0s",
        "The pause between two deliveries to one destination; anything above 0 makes them one at a time.",
        minimum=0,
    ),
    Row(
        "default_transport_rate_delay",
        _TIME,
        "0s",
        "The pause between two deliveries of one transport.",
        minimum=0,
        honoured=False,
        only=("0",),
    ),
)

#: Tuning of how Postfix's queue manager keeps recipients in memory and lets small messages overtake large ones.
SCHEDULING_ROWS = section(
    "Queue: how much at a time",
    Row(
        "default_recipient_limit",
        _INTEGER,
        "20000",
        "Recipients in memory for one transport.",
        minimum=0,
        honoured=False,
        only=("20000",),
    ),
    Row(
        "default_extra_recipient_limit",
        _INTEGER,
        "1000",
        "Recipients in memory for messages that overtake.",
        minimum=0,
        honoured=False,
        only=("1000",),
    ),
    Row(
        "default_recipient_refill_limit",
        _INTEGER,
        "100",
        "How many free places make more recipients be read.",
        minimum=1,
        honoured=False,
        only=("100",),
    ),
    Row(
        "default_recipient_refill_delay",
        _TIME,
        "5s",
        "After what time more recipients are read in any case.",
        minimum=1,
        honoured=False,
        only=("5s",),
    ),
    Row(
        "default_minimum_delivery_slots",
        _INTEGER,
        "3",
        "The size from which a message can be overtaken.",
        minimum=0,
        honoured=False,
        only=("3",),
    ),
    Row(
        "default_delivery_slot_cost",
        _INTEGER,
        "5",
        "After how many deliveries another message may overtake.",
        minimum=0,
        honoured=False,
        only=("5", "0"),
    ),
    Row(
        "default_delivery_slot_loan",
        _INTEGER,
        "3",
        "How much of that is granted beforehand.",
        minimum=0,
        honoured=False,
        only=("3",),
    ),
    Row(
        "default_delivery_slot_discount",
        _INTEGER,
        "50",
        "What part of that is granted beforehand, in percent.",
        minimum=0,
        maximum=100,
        honoured=False,
        only=("50",),
    ),
    Row(
        "qmgr_fudge_factor",
        _INTEGER,
        "100",
        "The part of its share that a mailing list gets, in percent.",
        minimum=1,
        maximum=100,
        honoured=False,
        only=("100",),
    ),
    Row(
        "qmgr_daemon_timeout",
        _TIME,
        "1000s",
        "After what silence the queue manager ends itself.",
        minimum=1,
        honoured=False,
        only=("1000s",),
    ),
    Row(
        "qmgr_ipc_timeout",
        _TIME,
        "60s",
        "How long the queue manager waits for another daemon.",
        minimum=1,
        honoured=False,
        only=("60s",),
    ),
    Row(
        "destination_concurrency_feedback_debug",
        _BOOLEAN,
        "no",
        "Log each change of a concurrency.",
        honoured=False,
        only=("no",),
    ),
    Row(
        "defer_transports",
        _LIST,
        "",
        "Transports whose mail waits until the queue is flushed.",
        honoured=False,
        only=("",),
    ),
    Row(
        "in_flow_delay",
        _TIME,
        "1s",
        "The pause for new mail while the queue manager cannot keep up.",
        minimum=0,
        maximum=10,
        honoured=False,
        only=("1s", "0"),
    ),
)
