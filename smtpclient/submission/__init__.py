"""Mail in over SMTP: a server of our own, and providers that make any twisted.mail server feed the queue."""
