"""What makes ``twistd smtpclient`` known; imports none of our code before it is chosen."""

from twisted.application.service import ServiceMaker

smtpclient = ServiceMaker(
    "smtpclient",
    "smtpclient.tap",
    "Outbound mail: deliver, defer and bounce what lies in a queue directory.",
    "smtpclient",
)
