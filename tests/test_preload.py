"""What is loaded before the service changes root and user."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient import preload
from smtpclient.preload import DELAY, LatePreload, modules
from tests.service.installed import environment

ROOT = Path(__file__).resolve().parent.parent


def _imports_of_functions(module: str) -> Iterator[str]:
    """The modules that functions of a module import."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_bytes() if path.exists() else b"")
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and node.module in ("smtpclient", "twisted.internet"):
                    yield from (f"{node.module}.{alias.name}" for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield str(node.module)
                elif isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)


class Preload(SynchronousTestCase):
    """In a process of its own."""

    def test_every_module(self) -> None:
        """Every module of the product is loaded, but its programs."""
        code = "import sys; from smtpclient.preload import preload; preload(); print(*sys.modules)"
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
        )
        loaded = set(ran.stdout.split())
        self.assertEqual(set(modules()) - loaded, set())
        self.assertEqual([name for name in loaded if name.startswith("smtpclient.command.")], [])

    def test_of_a_delivery_agent(self) -> None:
        """
        A delivery agent below Postfix has loaded all that it will use: what is imported in functions of its modules is
        there, but for what it imports while it is put together, before it shuts itself in.
        """
        code = "import sys, smtpclient.postfix.daemon as its; its.preload_libraries(); print(*sys.modules)"
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
        )
        loaded = set(ran.stdout.split())
        ours = [name for name in loaded if name.startswith("smtpclient.")]
        later = {(name, found) for name in ours for found in _imports_of_functions(name)}
        self.assertEqual(
            {pair for pair in later if pair[1] not in loaded},
            {
                ("smtpclient.delivery.assembly", "smtpclient.delivery.domain_tls"),
                ("smtpclient.delivery.login", "smtpclient.delivery.access_token"),
                ("smtpclient.postfix.daemon", "twisted.internet.reactor"),
                ("smtpclient.report.providers", "smtpclient.report.command"),
                ("smtpclient.report.providers", "smtpclient.report.url"),
            },
        )

    def test_what_is_not_installed(self) -> None:
        """A module of somebody else that is not there is passed over; one of our own is not."""
        self.patch(preload, "_LATER", ("no.such.module",))
        preload.preload()
        self.patch(preload, "_LATER", ("smtpclient.no_such_module",))
        self.assertRaises(ModuleNotFoundError, preload.preload)

    def test_names_of_modules(self) -> None:
        """The list is what lies in the package."""
        files = {
            "smtpclient." + ".".join(path.relative_to(ROOT / "smtpclient").with_suffix("").parts)
            for path in (ROOT / "smtpclient").rglob("*.py")
            if path.name not in ("__init__.py", "__main__.py") and "command" not in path.relative_to(ROOT).parts[:2]
        }
        self.assertEqual(files - set(modules()), set())


class Later(SynchronousTestCase):
    """While the service runs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.loaded: list[int] = []
        self.patch(preload, "pieces", self.pieces)
        self.service = LatePreload(self.clock)

    def pieces(self) -> Iterator[None]:
        """Three modules, the last of which is not there."""
        for number in (1, 2):
            self.loaded.append(number)
            yield
        raise ModuleNotFoundError("the third")

    def test_after_a_while(self) -> None:
        """Nothing is loaded at first; then it is, and what cannot be loaded is told."""
        self.service.startService()
        self.clock.advance(DELAY - 1)
        self.assertEqual(self.loaded, [])
        self.clock.pump([1] * 10)
        self.assertEqual(self.loaded, [1, 2])
        self.assertEqual([str(error.value) for error in self.flushLoggedErrors(ModuleNotFoundError)], ["the third"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_before(self) -> None:
        """A service that is stopped before that leaves no timer."""
        self.service.startService()
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_meanwhile(self) -> None:
        """One that is stopped meanwhile loads no more."""
        self.service.startService()
        self.clock.pump([DELAY, 0.01])
        self.service.stopService()
        self.clock.pump([1] * 10)
        self.assertEqual((self.loaded, self.clock.getDelayedCalls()), ([1], []))
