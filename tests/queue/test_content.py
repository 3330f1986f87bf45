"""The content of a queued message, read from its queue file."""

import errno
import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.queue import record
from smtpclient.queue.content import BLOCK, SpoolContent
from smtpclient.queue.queuefile import CorruptQueueFile, read_message
from smtpclient.queue.record import LONGEST, encode
from smtpclient.queue.small_files import SmallFiles
from tests.queue.disk import NOW, DirectFiles, FailingFiles, message, queue_file, run

X = encode(record.EXTRACTED)


def line(data: bytes) -> bytes:
    """A record that is a line."""
    return encode(record.LINE, data)


def pointer(target: int) -> bytes:
    """A pointer record."""
    return encode(record.POINTER, b"%15d" % target)


class Case(SynchronousTestCase):
    """Reading the content of a file that a test has made."""

    def setUp(self) -> None:
        self.files: DirectFiles = DirectFiles()
        self.path = os.path.abspath(self.mktemp())

    def _write(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)

    def _read(self, data: bytes, offset: int = 0, length: int = 0) -> bytes:
        self._write(data)
        return b"".join(self._blocks(SpoolContent(self.files, self.path, offset, length)))

    def _blocks(self, content: SpoolContent) -> list[bytes]:
        reader = content.open()
        try:
            blocks = []
            while block := run(reader.next_block()):
                blocks.append(block)
            return blocks
        finally:
            reader.close()

    def _why(self, data: bytes, length: int = 0) -> str:
        error: CorruptQueueFile = self.assertRaises(CorruptQueueFile, self._read, data, 0, length)
        self.assertEqual(error.path, self.path)
        self.assertTrue(0 <= error.offset <= len(data))
        return error.why


class ContentTests(Case):
    """What sound files hold."""

    def test_interfaces(self) -> None:
        """It is the content that a delivery request carries."""
        self._write(X)
        content = SpoolContent(self.files, self.path, 0)
        verifyObject(IMessageContent, content)
        reader = content.open()
        self.addCleanup(reader.close)
        verifyObject(IContentReader, reader)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([b"", b".", b"abc", b"\r", b"x" * 200, b"y" * 5000, b"N\x01", b"\0\xff"]), max_size=30)
    )
    def test_what_was_written(self, lines: list[bytes]) -> None:
        """What was queued is read, byte for byte."""
        text = b"".join([one + b"\n" for one in lines]) or b"\n"
        self._write(queue_file(message(text)))
        fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        envelope = read_message(self.files, fd, self.path, "ID").envelope
        content = SpoolContent(self.files, self.path, envelope.content_offset, envelope.content_length)
        self.assertEqual(b"".join(self._blocks(content)), text)

    def test_nothing(self) -> None:
        """Content without a record is empty."""
        self.assertEqual(self._read(X), b"")

    def test_last_line_without_end(self) -> None:
        """A part of a line right before the end gets its line end, also with padding and pointers between."""
        part = encode(record.LINE_PART, b"abc")
        padding = encode(record.PADDING, b"     ") + pointer(0)
        self.assertEqual([self._read(part + X), self._read(part + padding + X)], [b"abc\n", b"abc\n"])

    def test_parts(self) -> None:
        """Parts are joined, whatever stands between them."""
        part = encode(record.LINE_PART, b"abc")
        data = part + encode(record.PADDING) + part + pointer(0) + line(b"d") + line(b"e") + X
        self.assertEqual(self._read(data), b"abcabcd\ne\n")

    def test_line_feed_in_a_record(self) -> None:
        """A line feed inside a record is a line end."""
        self.assertEqual(self._read(line(b"a\nb") + X), b"a\nb\n")

    def test_offset(self) -> None:
        """Reading starts where it is told."""
        self.assertEqual(self._read(b"???" + line(b"a") + X, 3), b"a\n")

    def test_pointers(self) -> None:
        """Content that was edited behind the end of the file is followed there and back."""
        front = line(b"one") + pointer(0)
        behind = len(front)
        rest = line(b"three") + X + encode(record.END)
        data = line(b"one") + pointer(behind + len(rest)) + rest + line(b"two") + pointer(behind)
        for length in (0, 10, behind, len(data)):
            self.assertEqual(self._read(data, 0, length), b"one\ntwo\nthree\n", length)

    def test_backwards(self) -> None:
        """A pointer may lead back, as long as nothing is read twice."""
        jump, step = len(pointer(0)), len(line(b"?"))
        second, third, end = jump, jump + step + jump, jump + step + jump + step + jump
        data = pointer(third) + line(b"b") + pointer(end) + line(b"a") + pointer(second) + line(b"c") + X
        self.assertEqual(self._read(data), b"a\nb\nc\n")

    def test_several_readers(self) -> None:
        """Readers do not disturb each other, and each starts anew."""
        self._write(line(b"a") + X)
        content = SpoolContent(self.files, self.path, 0)
        first, second = content.open(), content.open()
        self.addCleanup(second.close)
        self.assertEqual([run(first.next_block()), run(second.next_block())], [b"a\n", b"a\n"])
        first.close()
        self.assertEqual([run(second.next_block()), run(second.next_block())], [b"", b""])


class SizeTests(Case):
    """Small messages at once, large ones in blocks."""

    def test_small(self) -> None:
        """A message of a few kilobytes is one block, read in the calling thread with one read."""
        counting = self.files = FailingFiles()
        data = line(b"x" * 70) * 60 + X + encode(record.END)
        for length in (len(data) - 4, 0):
            self.assertEqual(self._read(data, 0, length), (b"x" * 70 + b"\n") * 60)
        self.assertEqual((counting.done.count("pread"), counting.in_threads), (2, []))

    def test_large(self) -> None:
        """A large message comes in blocks of bounded size, read in threads."""
        data = line(b"x" * 70) * 20000 + encode(record.LINE_PART, b"y" * 2000) * 500 + X
        self._write(data)
        blocks = self._blocks(SpoolContent(self.files, self.path, 0, len(data) - 2))
        self.assertEqual(b"".join(blocks), (b"x" * 70 + b"\n") * 20000 + b"y" * 1000000 + b"\n")
        self.assertLessEqual(max(map(len, blocks)), BLOCK)
        self.assertGreaterEqual(len(self.files.in_threads), len(data) // BLOCK)

    def test_wrong_length(self) -> None:
        """A length that is wrong is only a bad guess."""
        data = line(b"x" * 70) * 5000 + X
        for length in (1, 5000, len(data), 10**12):
            self.assertEqual(self._read(data, 0, length), (b"x" * 70 + b"\n") * 5000)

    def test_record_longer_than_a_block(self) -> None:
        """A record as long as one may be is read whole."""
        self.assertEqual(len(self._read(line(b"a") + line(b"x" * LONGEST) + line(b"b") + X, 0, 10)), LONGEST + 5)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.integers(0, 3000), max_size=40), st.integers(1, 9000))
    def test_blocks_end_anywhere(self, sizes: list[int], length: int) -> None:
        """Wherever the blocks end, the text is the same."""
        data = b"".join([line(b"%d" % size + b"." * size) for size in sizes]) + X
        wanted = b"".join([b"%d" % size + b"." * size + b"\n" for size in sizes])
        self.assertEqual(self._read(data, 0, length), wanted)


class DamageTests(Case):
    """Files whose content cannot be read."""

    def test_other_records(self) -> None:
        """What has no place in content is named, with its offset in the file."""
        cases = {
            "a record of type 'R' in the content": line(b"a") + encode(ord("R"), b"x") + X,
            "a record of type 'E' in the content": line(b"a") + encode(ord("E")),
            "an end of content that holds 3 bytes": encode(record.EXTRACTED, b"abc"),
            "claims": line(b"a") + b"N\xff\xff\xff\xff\x0f" + X,
            "a pointer that is not a number": encode(record.POINTER, b"-1") + X,
            "behind the end of the file": pointer(1000) + X,
        }
        got = {words: self._why(data) for words, data in cases.items()}
        self.assertEqual({words: why for words, why in got.items() if words not in why}, {})

    def test_circles(self) -> None:
        """Pointers that go round end in a complaint, with and without lines between."""
        for data in (pointer(0)[:2] + b"%15d" % 1 + X, line(b"a") + pointer(3), line(b"a") * 9 + pointer(3) + X):
            self._why(data)

    def test_every_cut(self) -> None:
        """Content cut at any byte is a complaint, whatever length was expected."""
        data = (
            line(b"a") + line(b"b" * 200) + encode(record.LINE_PART, b"c") + pointer(0) + encode(record.PADDING, b" ")
        )
        for size in range(len(data) + 2):
            self.assertIn("ends", self._why((data + X)[:size], size % 7))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.integers(0, 250), st.binary(min_size=1, max_size=4))
    def test_any_damage(self, at: int, value: bytes) -> None:
        """However it is overwritten, it is text or a complaint, and never more than the file could hold."""
        data = bytearray(line(b"a") + line(b"b" * 200) + encode(record.LINE_PART, b"c") + pointer(0) + X)
        data[at : at + len(value)] = value
        try:
            self.assertLessEqual(len(self._read(bytes(data))), len(data))
        except CorruptQueueFile as error:
            self.assertTrue(error.why)


class KeptTests(Case):
    """Content of a file that is in memory."""

    def _kept(self, data: bytes, offset: int = 0) -> SpoolContent:
        self._write(data)
        small_files = SmallFiles(self.files)
        small_files.keep(self.path, os.stat(self.path), data)
        return SpoolContent(self.files, self.path, offset, 0, small_files)

    def _result_of(self, content: SpoolContent) -> object:
        try:
            return b"".join(self._blocks(content))
        except CorruptQueueFile as error:
            return error.path, error.offset, error.why

    def test_only_a_look_at_the_file(self) -> None:
        """The first reading makes no other operation than stat, the next ones open the file."""
        counting = self.files = FailingFiles()
        content = self._kept(line(b"a") + line(b"b") + X)
        self.assertEqual([self._blocks(content), counting.done], [[b"a\nb\n"], ["stat"]])
        self.assertEqual([self._blocks(content), "open" in counting.done], [[b"a\nb\n"], True])

    def test_vanished(self) -> None:
        """A file that was moved cannot be opened; what was opened can be read on, until it is closed."""
        content = self._kept(line(b"a") + X)
        reader = content.open()
        os.unlink(self.path)
        self.assertEqual(run(reader.next_block()), b"a\n")
        self.assertRaises(FileNotFoundError, content.open)
        self.assertRaises(FileNotFoundError, self._gone().open)

    def _gone(self) -> SpoolContent:
        content = self._kept(line(b"a") + X)
        os.unlink(self.path)
        return content

    def test_changed(self) -> None:
        """A file that was written to is read anew."""
        content = self._kept(line(b"a") + X)
        with open(self.path, "r+b") as file:
            file.write(line(b"b"))
        os.utime(self.path, (NOW, NOW))
        self.assertEqual(self._blocks(content), [b"b\n"])

    def test_closed(self) -> None:
        """Reading what was closed is an error of the caller, told as an OSError."""
        reader = self._kept(line(b"a") + X).open()
        reader.close()
        reader.close()
        self.assertRaises(OSError, run, reader.next_block())

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.integers(0, 300), st.binary(max_size=4), st.sampled_from([0, 3]))
    def test_the_same_as_from_the_disk(self, at: int, value: bytes, offset: int) -> None:
        """Edited, damaged or cut off: what is read, or what is said to be wrong, does not depend on where it lies."""
        front = line(b"a") + line(b"b" * 200) + encode(record.LINE_PART, b"c") + pointer(0)
        rest = line(b"d") + X + encode(record.END)
        sound = front[:-17] + pointer(len(front) + len(rest)) + rest + line(b"e") * 5 + pointer(len(front))
        data = sound[:at] + value + sound[at + len(value) :] if value else sound[:at]
        if data:
            kept = self._result_of(self._kept(data, offset))
            self.assertEqual(kept, self._result_of(SpoolContent(self.files, self.path, offset)))


class FileTests(Case):
    """The file behind the content."""

    def test_vanished(self) -> None:
        """A file that was moved cannot be opened; one that is open can be read on."""
        self._write(line(b"a") + X)
        content = SpoolContent(self.files, self.path, 0)
        reader = content.open()
        self.addCleanup(reader.close)
        os.unlink(self.path)
        self.assertEqual(run(reader.next_block()), b"a\n")
        self.assertRaises(FileNotFoundError, content.open)

    def test_lock(self) -> None:
        """While it is read nobody can lock the file for himself, and it is not read while somebody has."""
        self._write(line(b"a") + X)
        content = SpoolContent(self.files, self.path, 0)
        reader = content.open()
        other = self.files.open(self.path)
        self.addCleanup(self.files.close, other)
        self.assertRaises(BlockingIOError, self.files.flock, other, exclusive=True)
        reader.close()
        self.files.flock(other, exclusive=True)
        self.assertRaises(BlockingIOError, content.open)

    def test_closed(self) -> None:
        """Closing twice does no harm; reading after it is an error of the caller, told as an OSError."""
        self._write(line(b"a") + X)
        reader = SpoolContent(self.files, self.path, 0).open()
        reader.close()
        reader.close()
        self.assertRaises(OSError, run, reader.next_block())

    def test_disk_errors(self) -> None:
        """A disk error at any step is an OSError, and leaves no file open."""
        data = queue_file(message(), NOW)
        before = len(os.listdir("/proc/self/fd"))
        failing = FailingFiles(errno.EIO)
        self.files = failing
        for at in (1, 2, 3, 4):
            failing.fails_at = at
            error = self.assertRaises(OSError, self._read, data)
            self.assertEqual(error.errno, errno.EIO)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
