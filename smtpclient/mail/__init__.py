"""Values: addresses, envelopes, delivery requests, outcomes. No I/O, no Twisted."""
