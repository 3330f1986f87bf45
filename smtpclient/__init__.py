"""Outbound mail as Twisted services: queue, exchangers, SMTP dialogue, settlement, reports."""
