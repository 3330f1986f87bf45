"""
What becomes of memory that was given back, and of what is there to stay.

The C library: of its own accord glibc gives a hundred kilobytes at the end of the heap back to the system as soon as
they are free, and asks for them again with the next block of content. Each page then has to be made anew: for a message
of 100 KB that took ten times as long as copying it (113 and 5 us a copy, side by side). It learns to keep more from the
first larger piece that is freed.

The interpreter looks for garbage in circles again and again while code is loaded, among objects that all stay: an
eighth of the time of a start. Where a process is all ours this can wait until it has begun to work, and what has been
loaded by then need never be looked at.

Promises: nothing is copied, touched or kept here; where the C library is another one, nothing happens.
"""

import gc

_PIECE = 4 << 20  # bytes; glibc then keeps up to twice as much


def keep_what_is_freed() -> None:
    """Have the C library keep a few megabytes for the next block; once is enough for the whole process."""
    bytes(_PIECE)


class _Loading:
    """Whether it was us who turned the search off: a program may have done so for reasons of its own."""

    is_begun = False


def begin_to_load() -> None:
    """Look for no garbage until :func:`end_loading`: there is none."""
    if gc.isenabled():
        gc.disable()
        _Loading.is_begun = True


def end_loading() -> None:
    """Look for garbage again, and only among what comes from now on; nothing, where loading was not begun."""
    if _Loading.is_begun:
        _Loading.is_begun = False
        gc.freeze()
        gc.enable()
