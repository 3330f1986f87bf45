"""The service as a process, killed at every file operation, and stopped in the middle of everything."""
