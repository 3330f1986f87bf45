"""The SMTP dialogue: replies, commands, content, channel, handshake, transaction, verdicts."""
