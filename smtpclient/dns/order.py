"""
In which order the addresses of a destination are tried: pure functions over lists.

The rules are those of RFC 5321 section 5.1 and of Postfix 3.7's smtp(8): by preference; inside a preference at
random, so that equal servers share the load, or as the name server listed them; inside a preference and where
``smtp_address_preference`` asks for it, one address family before the other; at and below the preference of an
address of our own, nothing, for mail would come back. Where ``smtp_mx_address_limit`` cuts the list, both families
keep a share, so that a destination whose IPv6 does not work is still reached over IPv4.

Promises: the result depends on the arguments alone; sorting keeps the order of what is equal.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import NamedTuple

from smtpclient.dns.name import family


class Exchanger(NamedTuple):
    """
    One address to try.

    :param host: the name that stands in logs, and that TLS certificates are checked against.
    :param address: in its one spelling.
    :param preference: that of its MX record, or zero.
    :param secure: the name server has validated the address records, and may be believed (DNSSEC).
    :param canonical: the host's name behind its aliases; where there are none, the host.
    """

    host: str
    address: str
    port: int
    preference: int
    secure: bool = False
    canonical: str = ""


def truncate_at_self(exchangers: Sequence[Exchanger], own: Collection[str]) -> tuple[tuple[Exchanger, ...], bool]:
    """
    Leave out our own addresses, and what is not better than the best of them.

    :param exchangers: by preference.
    :param own: our addresses, each in its one spelling.
    :return: what is left, and whether we were among them.
    """
    for exchanger in exchangers:
        if exchanger.address in own:
            return tuple(e for e in exchangers if e.preference < exchanger.preference), True
    return tuple(exchangers), False


def arrange(exchangers: Sequence[Exchanger], address_preference: str, random: Random | None) -> tuple[Exchanger, ...]:
    """
    Sort by preference, and then by address family.

    :param address_preference: ``any``, ``ipv4`` or ``ipv6``: the family that goes first inside a preference.
    :param random: shuffles what is equal; None leaves it as it is.
    """
    if len(exchangers) < 2:
        return tuple(exchangers)
    arranged = list(exchangers)
    if random is not None:
        random.shuffle(arranged)
    if address_preference == "any":
        arranged.sort(key=lambda exchanger: exchanger.preference)
    else:
        arranged.sort(key=lambda exchanger: (exchanger.preference, family(exchanger.address) != address_preference))
    return tuple(arranged)


def limit(exchangers: Sequence[Exchanger], most: int, balance: bool) -> tuple[Exchanger, ...]:
    """
    The first of a list, no more than so many.

    :param most: how many; 0: all.
    :param balance: when there are addresses of both families, keep half of each; what one family does not need
        goes to the other, and an odd place to the family of the first.
    """
    if most <= 0 or len(exchangers) <= most:
        return tuple(exchangers)
    if not balance:
        return tuple(exchangers[:most])
    counts = {"ipv4": 0, "ipv6": 0}
    for exchanger in exchangers:
        counts[family(exchanger.address)] += 1
    first = family(exchangers[0].address)
    other = "ipv4" if first == "ipv6" else "ipv6"
    room = {first: max((most + 1) // 2, most - counts[other])}
    room[other] = most - min(room[first], counts[first])
    kept = []
    for exchanger in exchangers:
        if room[family(exchanger.address)] > 0:
            room[family(exchanger.address)] -= 1
            kept.append(exchanger)
    return tuple(kept)


def last_of_equals(exchangers: Sequence[Exchanger], is_last: Callable[[Exchanger], bool]) -> tuple[Exchanger, ...]:
    """
    Put some of them behind the others of their preference.

    :param exchangers: by preference.
    """
    return tuple(sorted(exchangers, key=lambda exchanger: (exchanger.preference, is_last(exchanger))))


def beside(waiting: Sequence[Exchanger], called: Sequence[Exchanger]) -> Exchanger:
    """
    Which address to call while others do not answer.

    :param waiting: those to choose from, in order; not empty.
    :param called: those that do not answer.
    :return: the first of a family that was not called, or the first.
    """
    families = {family(exchanger.address) for exchanger in called}
    return next((exchanger for exchanger in waiting if family(exchanger.address) not in families), waiting[0])
