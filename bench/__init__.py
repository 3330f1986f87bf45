"""Measurements: how fast, how much, beside which peer. ``make bench``; ``doc/performance.rst`` quotes them."""
