"""Transport security: which policy a server gets, and whether it lives up to it."""
