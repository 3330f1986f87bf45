"""What senders and postmasters are told: bounce, defer and trace journals and reports."""
