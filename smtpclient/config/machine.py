"""
The names that the machine has: the defaults of ``myhostname`` and ``mydomain``, which depend on each other.
"""

from collections.abc import Mapping

from smtpclient.config.expansion import Expander, ExpansionError

_NO_DOMAIN = "localdomain"


def names(raw: Mapping[str, str], machine_name: str) -> dict[str, str]:
    """
    The defaults, by parameter.

    :param raw: what is set.
    :param machine_name: as the system tells it; a name of one label gets ``$mydomain``.
    """
    machine = machine_name.strip().rstrip(".") or "localhost"
    hostname = machine if "." in machine else f"{machine}.$mydomain"
    # A myhostname that is written in terms of mydomain has no domain to give.
    settings = {"mydomain": _NO_DOMAIN, "myhostname": hostname, **raw}
    try:
        full = Expander(settings.get).value("myhostname") or ""
    except ExpansionError:
        full = ""
    return {"myhostname": hostname, "mydomain": full.partition(".")[2] or _NO_DOMAIN}
