"""The manual of the parameters."""

import contextlib
import io
import pathlib
import runpy

from twisted.trial.unittest import SynchronousTestCase

import smtpclient.config.manual
from smtpclient.config.manual import manual
from smtpclient.config.parameters import ROWS
from smtpclient.config.parameters_lmtp import TWINS


class ManualTests(SynchronousTestCase):
    """doc/parameters.rst is made from the table."""

    def test_it_is_up_to_date(self) -> None:
        """What lies in doc/ is what the table gives."""
        page = pathlib.Path(smtpclient.__file__).parent.parent / "doc" / "parameters.rst"
        if not page.exists():
            self.skipTest("installed without the documents")
        remedy = "out of date: python -m smtpclient.config.manual > doc/parameters.rst"
        self.assertTrue(page.read_text(encoding="utf-8") == manual(), remedy)

    def test_every_parameter_has_its_entry(self) -> None:
        """Each row stands in the manual once, with its sentence; twins of the LMTP client are told of together."""
        text, twins = manual(), set(TWINS.values())
        rows = {name: row for name, row in ROWS.items() if name not in twins}
        self.assertEqual([name for name in rows if text.count(f"\n``{name}`` (") != 1], [])
        self.assertEqual([name for name, row in rows.items() if row.help not in text], [])
        self.assertIn("\n* ``lmtp_lhlo_name``, for ``smtp_helo_name``: ``$myhostname``\n", text)
        self.assertIn("\n* ``lmtp_tcp_port``, for ``smtp_tcp_port``: ``24``\n", text)
        self.assertNotIn("lmtp_mail_timeout", text)

    def test_what_is_not_supported_says_so(self) -> None:
        """Of a known setting that nothing acts on, the values that are taken are named."""
        self.assertIn("*Not supported*: only ``5`` or ``0`` is accepted.", manual())
        self.assertIn("*Not supported*: only an empty value is accepted.", manual())
        self.assertIn("*Not supported*: without effect as long as ``", manual())

    def test_as_a_command(self) -> None:
        """Run as a program, the module prints the manual."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            runpy.run_path(str(smtpclient.config.manual.__file__), run_name="__main__")
        self.assertEqual(output.getvalue(), manual())
