"""What becomes of memory that was given back, and of what is there to stay."""

import gc
import platform
import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from smtpclient import memory

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


_LOADING = """
import gc
from smtpclient import memory
memory.begin_to_load()
before = gc.isenabled()
kept = [[] for _ in range(10_000)]
memory.end_loading()
print(before, gc.isenabled(), gc.get_freeze_count() > len(kept))
"""


class LoadingTests(SynchronousTestCase):
    """A process that loads all its code."""

    def test_a_process_of_somebody_else(self) -> None:
        """Where loading was not begun, its end changes nothing."""
        before = gc.get_freeze_count()
        memory.end_loading()
        self.assertEqual((gc.isenabled(), gc.get_freeze_count()), (True, before))

    def test_a_process_that_never_looks(self) -> None:
        """Where a program has turned the search for garbage off, it stays so."""
        gc.disable()
        self.addCleanup(gc.enable)
        memory.begin_to_load()
        memory.end_loading()
        self.assertFalse(gc.isenabled())

    def test_what_is_loaded_is_never_looked_at(self) -> None:
        """Nothing is looked for while code is loaded; then it is, but not among what was there by then."""
        output = subprocess.run([sys.executable, "-c", _LOADING], check=True, capture_output=True, timeout=60)
        self.assertEqual(output.stdout.split(), [b"False", b"True", b"True"])


class MemoryTests(SynchronousTestCase):
    """Blocks of 100 KB, made and freed again and again."""

    def test_pages_are_kept(self) -> None:
        """The pages of a block are made once, not for each block."""
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("another C library")
        output = subprocess.run([sys.executable, "-c", _PROGRAM, "keep"], check=True, capture_output=True, timeout=120)
        self.assertLess(int(output.stdout), 1000)
