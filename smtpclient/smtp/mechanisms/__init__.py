"""SASL mechanisms (RFC 4422): challenges in, responses out; no sockets, no clock."""
