"""The installed program as its operator has it: twistd, real files, real sockets, real signals."""
