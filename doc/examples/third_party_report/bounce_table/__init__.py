"""An example of a bounce service in a package of its own: failed recipients become lines of a table."""
