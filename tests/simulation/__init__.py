"""A whole service in a simulated world: clock, network, disk, and random trouble in all three."""
