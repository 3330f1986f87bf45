"""Delivery in processes of its own: what goes over the socket, the process, and the service's side of it."""
