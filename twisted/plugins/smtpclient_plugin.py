"""What makes ``twistd smtpclient`` known; imports none of our code before it is chosen."""

from twisted.application.service import ServiceMaker


class _ServiceMaker(ServiceMaker):
    """Begins to load code when it is chosen; the service ends that when it starts."""

    @property
    def options(self) -> object:
        """The class of the options; the first thing that is asked for."""
        from smtpclient import memory  # noqa: PLC0415 -- see above

        memory.begin_to_load()
        return super().options


smtpclient = _ServiceMaker(
    "smtpclient",
    "smtpclient.tap",
    "Outbound mail: deliver, defer and bounce what lies in a queue directory.",
    "smtpclient",
)
