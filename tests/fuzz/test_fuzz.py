"""The fuzzing itself: a second of it, and that it would notice."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import Corpus, Lines
from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS, Target


class FuzzTests(SynchronousTestCase):
    """Readers of bytes from outside."""

    def test_a_few_hundred_inputs_break_nothing(self) -> None:
        """Each reader raises what it promises, and nothing else."""
        broken = {target.name: fuzz(target, Random(7), seconds=0.4) for target in TARGETS}
        self.assertEqual({target.name: 0 for target in TARGETS}, broken)

    def test_a_reader_that_breaks_is_noticed(self) -> None:
        """A reader that raises on one byte is caught within moments."""

        def fragile(data: bytes) -> None:
            assert b"\xff" not in data

        target = Target("fragile", (__name__,), (b"abc",), fragile)
        self.assertGreater(fuzz(target, Random(1), seconds=5), 0)

    def test_what_reaches_new_lines_is_kept_for_more(self) -> None:
        """Lines are told apart: the same input reaches nothing new the second time."""
        lines = Lines((__name__,))
        self.assertEqual(
            [True, False, True],
            [lines.reached_new(lambda flag=flag: _two_ways(flag)) for flag in (False, False, True)],
        )

    def test_a_corpus_gives_other_bytes(self) -> None:
        """Drawn inputs differ from each other."""
        corpus = Corpus([b"hello world"], Random(1))
        self.assertGreater(len({corpus.draw() for _ in range(100)}), 80)


def _two_ways(flag: bool) -> int:
    if flag:
        return 1
    return 0
