"""
What is installed is whole: by ``pip install .``, by ``pip install -e .``, and in the wheel.

These build virtual environments, so they run only where ``SMTPCLIENT_TEST_PACKAGING`` is set. The environments
borrow Twisted and its like from the one that runs the tests; only our own package is installed into them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("smtpclient", "twisted", "setup.cfg", "setup.py", "README.rst", "LICENSE")
TWISTD = "from twisted.scripts.twistd import run; run()"


class Installation(SynchronousTestCase):
    """Each way to install, in a fresh environment, looked at from the root of the file system."""

    if not os.environ.get("SMTPCLIENT_TEST_PACKAGING"):
        skip = "takes half a minute: set SMTPCLIENT_TEST_PACKAGING=1 to run it"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.source = self.folder / "source"
        self.source.mkdir(parents=True)
        waste = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.source / name, ignore=waste)
            else:
                shutil.copy(ROOT / name, self.source / name)

    def run_program(self, *words: str | Path) -> str:
        """What a program says; the test fails where the program does."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        child = subprocess.run(
            [str(word) for word in words],
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(child.returncode, 0, child.stdout)
        return child.stdout

    def environment(self) -> Path:
        """A fresh virtual environment; what we depend on is lent to it, our own package is not."""
        environment = self.folder / "environment"
        self.run_program(sys.executable, "-m", "venv", environment)
        scheme = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
        (Path(scheme) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return environment / "bin" / "python"

    def install(self, *words: str | Path) -> Path:
        """Install our package into a fresh environment."""
        python = self.environment()
        self.run_program(python, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed", *words)
        return python

    def assert_whole(self, python: Path, home: Path) -> None:
        """The plugin is found, the command runs, and both are those from ``home``."""
        where = self.run_program(python, "-c", "import smtpclient; print(smtpclient.__file__)")
        self.assertEqual(Path(where.strip()).parent.parent, home)
        self.assertIn("  smtpclient ", self.run_program(python, "-c", TWISTD, "--help"))
        self.assertIn("--bounce-service", self.run_program(python, "-c", TWISTD, "smtpclient", "--help"))
        self.assertIn("sendmail", self.run_program(python, "-m", "smtpclient", "--help"))
        self.assertIn("sendmail", self.run_program(python.with_name("smtpclient"), "--help"))

    def test_install(self) -> None:
        """After ``pip install .``, ``twistd`` knows the service and ``smtpclient`` runs, from anywhere."""
        python = self.install(self.source)
        home = self.run_program(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        self.assert_whole(python, Path(home))

    def test_editable_install(self) -> None:
        """After ``pip install -e .``, ``twistd`` finds the plugin in the source tree, from anywhere."""
        python = self.install("--editable", self.source)
        self.assert_whole(python, self.source)

    def test_wheel(self) -> None:
        """The wheel holds every module, the plugin and the mark of being typed, and nothing that is Twisted's."""
        self.run_program(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", self.folder, self.source
        )
        (wheel,) = self.folder.glob("smtpclient-*.whl")
        held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        modules = {str(path.relative_to(self.source)) for path in (self.source / "smtpclient").rglob("*.py")}
        self.assertEqual(held, modules | {"smtpclient/py.typed", "twisted/plugins/smtpclient_plugin.py"})
