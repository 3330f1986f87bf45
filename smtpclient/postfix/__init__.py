"""Postfix's own daemons: their wire, asking them, and being one of them."""
