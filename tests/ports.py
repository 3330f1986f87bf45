"""
Port numbers for tests whose servers are other programs, or that need a port where nobody listens.

A number that is free now may be somebody's a moment later, where several tests run at a time. So it is kept: a socket
is bound to it as long as this process lives, from below the range that the kernel gives to who asks for any port. That
socket does not listen: a connection is refused until the test's own server listens there, which may, as all servers do
that set SO_REUSEADDR. UDP has no such thing; there the number is only out of the way of what the kernel gives.
"""

import errno
import random
import socket

_KEPT: list[socket.socket] = []
_RANGE = range(20_000, 32_000)


def free_port(address: str = "127.0.0.1") -> int:
    """
    A port that nobody else has or gets, over TCP at one address of this machine, until this process ends.

    :raises OSError: when there is none, or the address is not this machine's.
    """
    dice = random.SystemRandom()
    for _ in range(1000):
        port = dice.choice(_RANGE)
        keeper = socket.socket()
        try:
            keeper.bind((address, port))
        except OSError as why:
            keeper.close()
            if why.errno != errno.EADDRINUSE:
                raise
            continue
        # Only now: while it is bound without, nobody else can be bound there, with or without.
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _KEPT.append(keeper)
        return port
    raise OSError(errno.EADDRINUSE, f"no port of {_RANGE} is free at {address}")
