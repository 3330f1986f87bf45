"""
What the parameters say about TLS reports, as one frozen value.
"""

from dataclasses import dataclass

from smtpclient.config.parameters import Parameters


@dataclass(frozen=True, slots=True)
class ReportingSettings:
    """
    Who reports.

    :param organization: the name in reports.
    :param contact: an address for questions, and the author of reports that go by mail.
    :param submitter: our host name.
    """

    organization: str
    contact: str
    submitter: str

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "ReportingSettings":
        """Take the settings from the parameters."""
        return cls(
            parameters.text("smtp_tls_report_organization"),
            parameters.text("smtp_tls_report_contact"),
            parameters.text("myhostname"),
        )
