"""
The manual of the parameters, ``doc/parameters.rst``, made from the table.

::

    python -m smtpclient.config.manual > doc/parameters.rst

Promises: the same table gives the same text, on every machine.

Does not: know more of a parameter than its row.
"""

import sys
from itertools import groupby

from smtpclient.config.kinds import Kind, Row
from smtpclient.config.parameters import ROWS, TRANSPORT_SUFFIXES
from smtpclient.config.parameters_lmtp import TITLE, TWINS

_TWINS = frozenset(TWINS.values())
_LMTP = """
Every other parameter of the SMTP client whose name begins with ``smtp_`` has a twin whose name begins with ``lmtp_``,
with the same meaning for the transport ``lmtp`` and the same default. These have another name, or another default:

"""
_INTRODUCTION = """\
Parameters
==========

.. This page is made from the table in smtpclient/config/parameters.py: python -m smtpclient.config.manual

A parameter gets its value from, in this order: its own option on the command line (``--smtp-connect-timeout 10s``), an
option ``-o name=value``, the file that ``--config`` names, what is built in. ``smtpclient config -n`` shows what a file
sets, ``smtpclient config -d`` what is built in.

The file
--------

The file has the syntax of Postfix's main.cf::

    # A comment.
    relayhost = [relay.example.com]:587
    message_drop_headers = bcc, return-path,
        resent-bcc
    smtp_helo_name = ${my_name?{$my_name}:{$myhostname}}

A line that starts with a blank continues the one before it, also past comments and empty lines. The last of several
settings of one name counts, with a warning. In values stand for other texts:

=========================================  =======================================================
``$name``, ``${name}``, ``$(name)``        the value of a parameter, itself expanded
``${name?text}``, ``${name?{text}}``       the text, if the value is not empty
``${name:text}``, ``${name:{text}}``       the text, if the value is empty
``${name?{text}:{other}}``                 one of the two
``${{left} == {right} ? {text}:{other}}``  a comparison: ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``
``${{3.6} <level {3.10} ? {text}}``        a comparison of levels, number by number
``$$``                                     a dollar sign
=========================================  =======================================================

Everything that is wrong is reported at once, with file and line, name, value and what was expected, and the service
does not start.

A main.cf that was written for Postfix can be given as it is:

* Settings of other programs (``smtpd_...``, ``virtual_...``, ``alias_maps`` and so on) are ignored.
* Names that other values refer to are yours to choose.
* A setting that Postfix's client or queue manager has and this program does not act on is refused, unless it asks for
  nothing. These are marked *not supported* below.
* An unknown name is refused when it looks like one of those below, since that is most likely a slip of the pen;
  otherwise it is ignored with a warning.

Kinds of values
---------------

yes or no
    In any case of letters.

time
    A number and one of ``s``, ``m``, ``h``, ``d``, ``w``: seconds, minutes, hours, days, weeks. A number alone counts
    in the unit that the parameter's description names. A fraction is possible: ``0.5s``.

list
    Words, separated by commas or blanks. Braces hold together what belongs together.

list of patterns
    The same; ``/path/of/file`` stands for the words in that file, ``#`` starts a comment line in it.

port or service name
    A number, or a name from the system's list of services.

domain
    A domain name; ``/path/of/file`` stands for the name in that file's first line.

lookup tables
    One or more of the following, asked in turn. Files are read again when they change.

    ``texthash:FILE``
        Lines ``key value``. Keys are found in any case of letters. ``hash:FILE``, ``btree:FILE``, ``lmdb:FILE``
        and the like are read from the text that the index was made from.
    ``inline:{key=value, {key = value with blanks}}``
        The same in the parameter itself.
    ``static:VALUE``
        The answer to every key.
    ``regexp:FILE``, ``pcre:FILE``
        Lines ``/pattern/flags result``, also ``!/pattern/``, and ``if /pattern/`` ... ``endif``. In the result ``$1``
        or ``${1}`` stands for a group.

Settings of one transport
-------------------------

Each transport may have its own setting in place of a general one. Its name is the transport's name, ``_`` and:

"""


def manual() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for suffix, base in TRANSPORT_SUFFIXES.items():
        if ROWS[base].honoured:
            parts.append(f"* ``{suffix}``, by default ``${base}``\n")
    for title, rows in groupby(ROWS.values(), lambda row: row.section):
        parts.append(f"\n{title}\n{'-' * len(title)}\n")
        parts += (_entry(row) for row in rows if row.name not in _TWINS)
        if title == TITLE:
            parts.append(_twins())
    return "".join(parts)


def _twins() -> str:
    """What is to be said of the parameters that the LMTP client has as the SMTP client has them."""
    lines = [_LMTP]
    for smtp, lmtp in TWINS.items():
        if ROWS[lmtp].honoured and ("s" + lmtp[1:] != smtp or ROWS[lmtp].default != ROWS[smtp].default):
            own = ROWS[lmtp].default
            if "$lmtp_" not in own and "{lmtp_" not in own:
                lines.append(f"* ``{lmtp}``, for ``{smtp}``: {f'``{own}``' if own else 'empty'}\n")
    return "".join(lines)


def _entry(row: Row) -> str:
    default = {"myhostname": "the machine's name", "mydomain": "from $myhostname"}.get(row.name)
    shown = default or (f"``{row.default}``" if row.default else "empty")
    facts = [row.kind.value + (_unit(row) if row.kind is Kind.TIME else ""), f"default: {shown}"]
    if row.minimum is not None and (row.minimum or row.kind is not Kind.TIME):
        facts.append(f"at least {row.minimum}")
    if row.maximum is not None:
        facts.append(f"at most {row.maximum}" + (" seconds" if row.kind is Kind.TIME else ""))
    lines = [row.help]
    if row.choices:
        lines.append(f"Possible: {', '.join(f'``{choice}``' if choice else 'nothing' for choice in row.choices)}.")
    if row.under:
        lines.append(f"*Not supported*: without effect as long as ``{row.under}`` is not.")
    elif not row.honoured:
        accepted = " or ".join(f"``{value}``" if value else "an empty value" for value in row.only)
        lines.append(f"*Not supported*: only {accepted} is accepted.")
    body = "\n    ".join(lines)
    return f"\n``{row.name}`` ({'; '.join(facts)})\n    {body}\n"


def _unit(row: Row) -> str:
    return {"s": " in seconds", "h": " in hours", "d": " in days"}[row.unit]


if __name__ == "__main__":
    sys.stdout.write(manual())
