"""Parameters: one table, a main.cf reader, lookup tables, twistd options."""
