"""Content while it is received."""

import errno
import os
import resource

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.header import BLOCK
from smtpclient.queue.intake import IntakeError
from smtpclient.submission.received import IN_MEMORY, ReceivedContent


class ReceivedContentTests(SynchronousTestCase):
    """:class:`ReceivedContent`."""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        os.mkdir(self.folder)

    def content(self, size_limit: int = 0) -> ReceivedContent:
        """Empty content whose file would be in the test's folder."""
        content = ReceivedContent(size_limit, self.folder)
        self.addCleanup(content.close)
        return content

    def test_small_content_stays_in_memory(self) -> None:
        """It can be read as often as needed."""
        content = self.content()
        content.write(b"a\n")
        content.write(b"b\n")
        self.assertEqual((b"a\nb\n", b"a\nb\n", 4), (b"".join(content), b"".join(content), content.size))

    def test_large_content_goes_to_a_file(self) -> None:
        """It comes back in blocks, the same each time, also while it still grows; the file has no name."""
        content = self.content()
        parts = [bytes([number % 251]) * 1000 for number in range(3 * IN_MEMORY // 1000)]
        for part in parts:
            content.write(part)
        self.assertEqual(b"".join(parts), b"".join(content))
        self.assertLessEqual(max(map(len, content)), BLOCK)
        content.write(b"more")
        self.assertEqual(b"".join(parts) + b"more", b"".join(content))
        self.assertEqual([], os.listdir(self.folder))

    def test_size_limit(self) -> None:
        """The byte too many is refused."""
        content = self.content(size_limit=10)
        content.write(b"x" * 10)
        self.assertEqual("5.3.4", self.assertRaises(IntakeError, content.write, b"x").status)

    def test_no_room(self) -> None:
        """A disk that takes no more is an error at once, not a message that lost its end."""
        content = self.content()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Python ignores SIGXFSZ, so that a file over this limit is an error of write(2).
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            error = self.assertRaises(OSError, content.write, b"x" * (IN_MEMORY + 1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        self.assertEqual(errno.EFBIG, error.errno)

    def test_closed(self) -> None:
        """Closed content is empty, and may be closed again."""
        content = self.content()
        content.write(b"x" * (IN_MEMORY + 1))
        content.write(b"y")
        content.close()
        content.close()
        self.assertEqual(b"", b"".join(content))
