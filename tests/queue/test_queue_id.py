"""Queue ids."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.queue_id import hash_folders, is_valid, long_id, short_id

MICROSECONDS = st.integers(0, 999_999)
INODES = st.integers(1, 2**63)


class QueueIdTests(SynchronousTestCase):
    """How ids are made, and which folder they lead to."""

    def test_short(self) -> None:
        """Five digits of microseconds and the inode, both in upper-case hexadecimal."""
        self.assertEqual(short_id(0x3A66D, 0x21A822), "3A66D21A822")
        self.assertEqual(short_id(1, 10), "00001A")

    def test_long(self) -> None:
        """Seconds, microseconds and inode as Postfix writes them; the sample is one of its own ids."""
        self.assertEqual(long_id(1795331475, 431712, 2205747), "4jXKxH33f8zJc1w")
        self.assertEqual(long_id(0, 0, 0), "0000000000z0")

    def test_hash_of_short(self) -> None:
        """A short id lies in the folders named after its first characters; one that is too short, in ``_``."""
        cases = {("3A66D21A822", 0): "", ("3A66D21A822", 1): "3/", ("3A66D21A822", 2): "3/A/", ("AB", 3): "A/B/_/"}
        self.assertEqual({case: hash_folders(*case) for case in cases}, cases)

    def test_hash_of_long(self) -> None:
        """A long id lies where its microseconds lead, as for a short one: 431712 is 69660 in hexadecimal."""
        self.assertEqual(hash_folders("4jXKxH33f8zJc1w", 2), "6/9/")

    def test_hash_of_oddities(self) -> None:
        """What only looks like a long id leads somewhere all the same."""
        self.assertEqual([hash_folders("aaaaaaaaaaz0", 1), hash_folders("zzzz", 1)], ["0/", "z/"])

    def test_valid(self) -> None:
        """Letters, digits and underscores; nothing that could be a path, a temporary name or a sub-folder."""
        cases = {
            **dict.fromkeys(["3A66D21A822", "4jXKxH33f8zJc1w", "a_b", "__"], True),
            **dict.fromkeys(["", "A", "..", "a/b", "123456.99", "a b", "é", "٣٣", "A" * 101, "a\0b", "A\n"], False),
        }
        self.assertEqual({case: is_valid(case) for case in cases}, cases)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.integers(0, 2**33), MICROSECONDS, INODES)
    def test_both_kinds_agree(self, second: int, microsecond: int, inode: int) -> None:
        """A short and a long id of one file are valid and lead to one folder."""
        short, long = short_id(microsecond, inode), long_id(second, microsecond, inode)
        self.assertTrue(is_valid(short) and is_valid(long))
        self.assertEqual(hash_folders(short, 2), hash_folders(long, 2))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(MICROSECONDS, INODES, MICROSECONDS, INODES)
    def test_files_have_different_ids(self, first: int, inode: int, second: int, other: int) -> None:
        """Files with different inodes have different ids, in whatever microsecond they were made."""
        if inode != other:
            self.assertNotEqual(short_id(first, inode), short_id(second, other))
