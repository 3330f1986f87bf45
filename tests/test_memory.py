"""What the C library does with memory that was given back."""

import platform
import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

# A process of its own: whether the library has learnt already is a matter of the whole process.
_PROGRAM = """
import resource, sys
from smtpclient.memory import keep_what_is_freed
if sys.argv[1] == "keep":
    keep_what_is_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(b"x") * 100_000
before = faults()
for _ in range(1000):
    a = b"x" * 100_000
    b = bytearray(a)
    del a, b
print(faults() - before)
"""


class MemoryTests(SynchronousTestCase):
    """Blocks of 100 KB, made and freed again and again."""

    def test_pages_are_kept(self) -> None:
        """The pages of a block are made once, not for each block."""
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("another C library")
        output = subprocess.run([sys.executable, "-c", _PROGRAM, "keep"], check=True, capture_output=True, timeout=120)
        self.assertLess(int(output.stdout), 1000)
