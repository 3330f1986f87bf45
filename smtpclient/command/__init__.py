"""The smtpclient command: thin mains over the library."""
