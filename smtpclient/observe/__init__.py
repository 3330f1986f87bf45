"""What operators see: the mail log."""
