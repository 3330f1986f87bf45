"""Names to addresses: a guarded resolver, and mail exchangers in the order to try them."""
