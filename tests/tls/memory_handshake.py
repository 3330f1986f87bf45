"""TLS between two ends in memory."""

from contextlib import suppress

from OpenSSL import SSL

_TURNS = 10


def shake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Carry bytes between both ends until neither has more to say of the handshake, or one has refused."""
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(_TURNS):
        for here, there in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                here.do_handshake()
            with suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(65536))
