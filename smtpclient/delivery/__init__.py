"""One delivery request to one outcome per recipient: routing, sessions, agent, settlement."""
