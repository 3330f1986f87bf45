"""
What may be said of tables that hold passwords, and of what is wrong with them: which file, which line, and no content.

A table in the parameter itself (``inline:``, ``static:``) is all content, and so is what is no table at all: it may
be a password in the wrong place.
"""

import re

NOT_SHOWN = "(not shown)"

_FILE_TABLE = re.compile(r"(?!inline:|static:)[a-z]+:/[^\s,:{}]+")
_LINE = re.compile(r"(/[^\s,:{}]+:\d+): ")
_FILE = re.compile(r"/[^\s,:{}]+: [^:]+")


def shown_value(text: str) -> str:
    """The value of such a parameter, as far as it can be shown: tables that are files."""
    words = [word if _FILE_TABLE.fullmatch(word) else NOT_SHOWN for word in text.replace(",", " ").split()]
    return " ".join(dict.fromkeys(words))


def shown_problem(text: str) -> str:
    """What is wrong with such a table: in a file the line; with a file as a whole, what the system says."""
    line = _LINE.match(text)
    if line:
        return f"{line[1]}: expected a server or sender, a blank, and name:password"
    if _FILE.fullmatch(text):
        return text
    return "expected tables such as texthash:/path/of/file, or inline:{{server = name:password}}"


def shown_fault(text: str) -> str:
    """What is wrong with the value itself, which may have a $ in a password."""
    return text if text.startswith(("a control character", "this is not")) else "a $ in a password is written $$"
