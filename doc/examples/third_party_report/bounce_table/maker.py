"""What makes the service when ``--bounce-service table:FILE`` is given."""

import os

from twisted.plugin import IPlugin
from zope.interface import implementer

from smtpclient.interfaces import IReportServiceMaker


@implementer(IPlugin, IReportServiceMaker)
class BounceTableMaker:
    """Known as ``table``."""

    kind = "bounce"
    name = "table"

    def make(self, arguments: str, surroundings: object) -> object:
        """
        Make the service.

        :param arguments: the path of the table.
        :param surroundings: a :class:`smtpclient.report.providers.Surroundings`.
        :raises ValueError: when the path is none that can be used.
        """
        # Imported here: the plugin file is read by every twistd command, also those that deliver no mail.
        from bounce_table.service import BounceTable  # noqa: PLC0415
        from smtpclient.report.providers import Surroundings  # noqa: PLC0415

        assert isinstance(surroundings, Surroundings)
        if not os.path.isabs(arguments):
            raise ValueError(
                f"table:{arguments}: write the absolute path of the table, as in table:/var/lib/bounces.tsv"
            )
        return BounceTable(arguments, surroundings.files)
