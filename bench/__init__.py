"""Measurements: how fast, how much, beside which peer. ``make bench`` runs them; ``doc/performance.rst`` quotes them."""
