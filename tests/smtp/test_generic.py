"""Other addresses on the way out: which table answers, what is made of the answer, and what a field looks like then."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.tables import Tables
from smtpclient.smtp.generic import GenericMaps, NoAddress


class GenericTestCase(SynchronousTestCase):
    """Tests with tables."""

    def maps(self, *entries: str, delimiters: str = "+", propagate: bool = False, patterns: str = "") -> GenericMaps:
        """Tables with these entries, on a machine that is here.test and local.test."""
        text = "inline:{" + ", ".join(f"{{{entry}}}" for entry in entries) + "}" if entries else ""
        if patterns:
            path = self.mktemp()
            with open(path, "w") as file:
                file.write(patterns + "\n")
            text += f" regexp:{path}"
        return GenericMaps(
            Tables(text), "here.test", lambda domain: domain == "local.test", delimiters, propagate=propagate
        )

    def check(self, maps: GenericMaps, wanted: dict[str, str | None]) -> None:
        """Each address has its replacement."""
        self.assertEqual({address: maps.replacement(address) for address in wanted}, wanted)


class Keys(GenericTestCase):
    """What is asked for."""

    def test_order(self) -> None:
        """The more a key says, the earlier it is asked for."""
        keys = ["u+e@local.test = 1@x", "u@local.test = 2@x", "u+e = 3@x", "u = 4@x", "@local.test = 5@x"]
        for number in range(5):
            self.check(self.maps(*keys[number:]), {"u+e@local.test": f"{number + 1}@x"})

    def test_order_of_tables(self) -> None:
        """A key is asked for in all tables before the next one is."""
        tables = Tables("inline:{{@a.test=all@x}} inline:{{u@a.test=one@x}}")
        maps = GenericMaps(tables, "here.test", lambda domain: False)
        self.check(maps, {"u@a.test": "one@x", "v@a.test": "all@x"})

    def test_local_part_alone(self) -> None:
        """It is asked for where the domain is this machine's."""
        maps = self.maps("u = new@x")
        self.check(maps, {"u@LOCAL.test": "new@x", "u@here.test": "new@x", "u@other.test": None})
        self.check(maps, {"u": "new@x", "u+e": "new@x", "v": None})

    def test_case(self) -> None:
        """It does not matter."""
        self.check(self.maps("u@a.test = new@x"), {"U@A.Test": "new@x"})

    def test_quoted_local_part(self) -> None:
        """It is asked for with its quotes, then without."""
        maps = self.maps('"a b"@a.test = quoted@x', "c d@a.test = unquoted@x")
        self.check(maps, {"a b@a.test": "quoted@x", "c d@a.test": "unquoted@x"})

    def test_patterns(self) -> None:
        """Regular expressions see the whole address only."""
        maps = self.maps(patterns=r"/^(.*)\+(.*)@a\.test$/ $1-$2@x" + "\n/^@|^u@/ never@x")
        self.check(maps, {"u+e@a.test": "u-e@x", "v+e@b.test": None})

    def test_no_extension(self) -> None:
        """Without a delimiter there is none, nor has a delimiter at the start or in some names one behind it."""
        self.check(self.maps("u@a.test = new@x", delimiters=""), {"u+e@a.test": None})
        maps = self.maps("owner@a.test = 1@x", "a@a.test = 2@x", "double@a.test = 3@x", delimiters="-+")
        self.check(
            maps,
            {
                "owner-a@a.test": None,
                "a-request@a.test": None,
                "double-bounce@a.test": None,
                "a-b+c@a.test": "2@x",
                "+a@a.test": None,
            },
        )

    def test_null_sender(self) -> None:
        """It is nobody's address and stays."""
        self.check(self.maps(patterns="/.*/ all@x"), {"": None})


class Answers(GenericTestCase):
    """What is made of an answer."""

    def test_domain(self) -> None:
        """An answer without local part leaves the local part."""
        self.check(self.maps("@a.test = @x"), {"u@a.test": "u@x", "u+e@a.test": "u+e@x", "a b@a.test": "a b@x"})
        self.check(self.maps("u@a.test = @x"), {"u+e@a.test": "u@x"})

    def test_no_domain(self) -> None:
        """An answer without domain gets ours."""
        self.check(self.maps("u@a.test = new"), {"u@a.test": "new@here.test"})

    def test_extension(self) -> None:
        """What was not looked up is added again on request."""
        entries = ("u@a.test = new@x", "@b.test = all@x", "v@a.test = @x")
        self.check(self.maps(*entries), {"u+e@a.test": "new@x", "u+e@b.test": "all@x", "v+e@a.test": "v@x"})
        wanted = {"u+e@a.test": "new+e@x", "u+e@b.test": "all@x", "v+e@a.test": "v+e@x", "u@a.test": "new@x"}
        self.check(self.maps(*entries, propagate=True), wanted)

    def test_forms(self) -> None:
        """Quotes, angle brackets and names are understood; of several addresses the first counts."""
        maps = self.maps('a@x = "b c"@y', "b@x = N <d@y>", "c@x = e@y f@y", "d@x = <>")
        self.check(maps, {"a@x": "b c@y", "b@x": "d@y", "c@x": "e@y", "d@x": ""})

    def test_once(self) -> None:
        """What replaces an address is not replaced."""
        self.check(self.maps("a@x = b@x", "b@x = a@x"), {"a@x": "b@x", "b@x": "a@x"})

    def test_no_address(self) -> None:
        """An answer that is no address is a fault, said with both."""
        why = self.assertRaises(NoAddress, self.maps("a@x = ,").replacement, "a@x")
        self.assertIn('lookup of a@x returns non-address result ","', str(why))


class Fields(GenericTestCase):
    """Header fields."""

    def test_untouched(self) -> None:
        """A field without an address in the table stays as it is, folds and all."""
        field = b"To:a@y ,\n\tb@y"
        self.assertIs(self.maps("a@x = new@z").field(field), field)

    def test_rewritten(self) -> None:
        """The name stays; the list is filled in lines of about 70 bytes."""
        maps = self.maps("a@x = new@z")
        self.assertEqual(maps.field(b"tO:a@x"), b"tO: new@z")
        long = b",".join([b"someone.with.a.long.name@example.test"] * 3)
        field = maps.field(b"To: a@x, " + long)
        self.assertEqual(
            field,
            b"To: new@z, someone.with.a.long.name@example.test,\n"
            b"\tsomeone.with.a.long.name@example.test,\n\tsomeone.with.a.long.name@example.test",
        )

    def test_width(self) -> None:
        """A line is filled up to 69 bytes; the tab of a continuation does not count."""
        maps = self.maps("a@x = new@z")
        for width, wanted in ((69, 1), (70, 2)):
            other = b"b" * (width - len(b"To: new@z, @y")) + b"@y"
            self.assertEqual(len(maps.field(b"To: a@x, " + other).split(b"\n")), wanted)

    def test_envelope(self) -> None:
        """An address of the envelope is replaced, or is itself."""
        maps = self.maps("a@x = new@z")
        self.assertEqual([maps.envelope_address(one) for one in ("a@x", "b@x", "")], ["new@z", "b@x", ""])
