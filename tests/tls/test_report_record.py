"""Tests for :mod:`smtpclient.tls.report_record`: RFC 8460 section 3."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.answer import Answer, Opaque, Status
from smtpclient.dns.text_record import TXT
from smtpclient.tls.report_record import address_of, endpoints, name_of, read
from tests.tls.web_world import text


class Record(SynchronousTestCase):
    """Where reports go."""

    def test_grammar(self) -> None:
        """The RFC's examples; what breaks the grammar asks for nothing; other kinds of URL are left out."""
        mail, web = "mailto:reports@example.com", "https://reporting.example.com/v1/tlsrpt"
        rows = {
            f"v=TLSRPTv1;rua={mail}": (mail,),
            f"v=TLSRPTv1; rua={web}": (web,),
            f"v=TLSRPTv1; rua={mail} , {web} ;": (mail, web),
            f"v=TLSRPTv1; rua={mail},{mail}": (mail,),
            f"v=TLSRPTv1; rua={mail}; rua={web}": (mail,),
            f"v=TLSRPTv1; new=1; rua={mail}": (mail,),
            "v=TLSRPTv1; rua=ftp://example.com/,http://example.com/,mailto:nobody": (),
            "v=TLSRPTv1; rua=" + ",".join(f"mailto:r{n}@example.com" for n in range(9)): tuple(
                f"mailto:r{n}@example.com" for n in range(4)
            ),
            "v=TLSRPTv1; rua=": (),
            "v=TLSRPTv1": (),
            f"v=TLSRPTv1; nonsense; rua={mail}": (),
            f"v=TLSRPTv2; rua={mail}": (),
            "": (),
        }
        self.assertEqual({given: read(given) for given in rows}, rows)

    def test_answers(self) -> None:
        """One record asks; two, or no answer, do not."""
        record = Opaque(text("v=TLSRPTv1;rua=mailto:a@b.example"))
        self.assertEqual(endpoints(Answer("x", TXT, Status.FOUND, (record,))), ("mailto:a@b.example",))
        self.assertEqual(endpoints(Answer("x", TXT, Status.FOUND, (record, record))), ())
        self.assertEqual(endpoints(Answer("x", TXT, Status.NO_NAME)), ())
        self.assertEqual(name_of("example.com"), "_smtp._tls.example.com")

    def test_addresses(self) -> None:
        """An address is taken out of its URL; one that could break a header or a list of addresses is none."""
        rows = {
            "mailto:a@b.example": "a@b.example",
            "MailTo:a%2Bb@b.example?subject=x": "a+b@b.example",
            "mailto:a%21b@b.example": "a!b@b.example",
            "mailto:a@b.example,c@d.example": "",
            "mailto:a%2Cc@b.example": "",
            "mailto:a%0D%0ABcc:x@b.example": "",
            "mailto:a%20b@b.example": "",
            "mailto:%C3%A9@b.example": "",
            "mailto:a@b@c": "",
            "mailto://[": "",
            "mailto:": "",
            "https://b.example/": "",
        }
        self.assertEqual({uri: address_of(uri) for uri in rows}, rows)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(alphabet="rua=;, mailto:@x.%0D\t\udcff", max_size=60))
    def test_any_text(self, given: str) -> None:
        """Whatever stands there, an endpoint is one word of printable ASCII."""
        for uri in read("v=TLSRPTv1;" + given):
            self.assertTrue(uri.isascii() and uri.isprintable() and " " not in uri)
