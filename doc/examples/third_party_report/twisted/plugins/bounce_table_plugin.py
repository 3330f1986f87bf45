"""Lets smtpclient find the service; there must be no ``__init__.py`` beside this file."""

from bounce_table.maker import BounceTableMaker

table = BounceTableMaker()
