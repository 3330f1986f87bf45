"""``smtpclient jail``: what it makes, and what it refuses."""

import contextlib
import io
import os
import stat
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from smtpclient.command import jail as command
from smtpclient.command.jail_directory import Inmate, Jail, JailError


def run(*words: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return command.main(words, stdin=io.BytesIO(), stdout=io.StringIO(), stderr=said), said.getvalue()
    except SystemExit as left:
        return int(left.code or 0), said.getvalue()


class JailCase(SynchronousTestCase):
    """A place for a jail."""

    def setUp(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can make a jail")
        self.path = Path(self.mktemp()).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def make(self, *words: str) -> tuple[int, str]:
        """Run the command for the user ``nobody``."""
        return run("--user", "nobody", *words, str(self.path))


class Making(JailCase):
    """What is in a jail."""

    def test_everything_that_is_needed(self) -> None:
        """The user, its groups, the null device, copies, and the queue directory, which alone is the user's."""
        ca = Path(self.mktemp()).absolute()
        ca.write_text("certificates\n")
        self.assertEqual(self.make("-o", "queue_directory=/queue/here", "-o", f"smtp_tls_CAfile={ca}"), (0, ""))
        self.assertEqual((self.path / "etc/passwd").read_text(), "nobody:x:65534:65534::/:/usr/sbin/nologin\n")
        self.assertEqual((self.path / "etc/group").read_text(), "nogroup:x:65534:nobody\n")
        self.assertEqual((self.path / "etc/resolv.conf").read_bytes(), Path("/etc/resolv.conf").read_bytes())
        self.assertEqual(Path(f"{self.path}{ca}").read_text(), "certificates\n")
        null = (self.path / "dev/null").stat()
        self.assertTrue(stat.S_ISCHR(null.st_mode))
        self.assertEqual((null.st_rdev, stat.S_IMODE(null.st_mode)), (os.stat("/dev/null").st_rdev, 0o666))
        mine = [p for p in [self.path, *self.path.rglob("*")] if p.lstat().st_uid == 65534]
        self.assertEqual(mine, [self.path / "queue/here"])
        loose = [p for p in self.path.rglob("*") if p.lstat().st_mode & 0o022 and p.name != "null"]
        self.assertEqual(loose, [])

    def test_again(self) -> None:
        """Made again it is brought up to date, and what lies in the queue stays."""
        self.make("-o", "queue_directory=/queue")
        (self.path / "etc/resolv.conf").write_text("outdated")
        (self.path / "queue/mail").write_text("x")
        self.assertEqual(self.make("-o", "queue_directory=/queue"), (0, ""))
        self.assertEqual((self.path / "etc/resolv.conf").read_bytes(), Path("/etc/resolv.conf").read_bytes())
        self.assertEqual((self.path / "queue/mail").read_text(), "x")

    def test_no_secrets(self) -> None:
        """Keys and passwords are not copied."""
        key = Path(self.mktemp()).absolute()
        key.write_text("x u:p\n")
        self.make("-o", f"smtp_tls_key_file={key}", "-o", f"smtp_sasl_password_maps=texthash:{key}")
        self.assertFalse(Path(f"{self.path}{key}").exists())


class Refusing(JailCase):
    """What is no place for a jail, or no inmate."""

    def test_users(self) -> None:
        """A user that there is not, and root."""
        codes = {user: run("--user", user, str(self.path)) for user in ("no-such-user", "root")}
        self.assertEqual([code for code, _ in codes.values()], [os.EX_NOUSER] * 2)
        self.assertIn("a jail does not hold root", codes["root"][1])
        self.assertFalse(self.path.exists())

    def test_places(self) -> None:
        """The root directory, a file, a queue directory that is not absolute."""
        told = [run("--user", "nobody", "/"), self.make("-o", "queue_directory=/")]
        self.path.joinpath("etc/passwd").unlink()
        self.path.joinpath("dev/null").unlink()
        self.path.joinpath("dev/null").write_text("")
        told.append(self.make())
        self.assertEqual([code for code, _ in told], [os.EX_CANTCREAT] * 3)
        told = [said.rpartition(": ")[2] for _, said in told]
        self.assertEqual(told[0], "this is the root directory\n")
        self.assertIn("expected an absolute path", told[1])
        self.assertIn("something else than a null device", told[2])

    def test_nothing_is_written_through_what_is_not_roots(self) -> None:
        """A folder that others may write to, or a link, would let them choose what root writes."""
        victim = Path(self.mktemp())
        victim.mkdir()
        for spoil in ("chown", "chmod", "link"):
            self.path = Path(self.mktemp()).absolute()
            self.make()
            etc = self.path / "etc"
            if spoil == "chown":
                os.chown(etc, 65534, 65534)
            elif spoil == "chmod":
                etc.chmod(0o777)
            else:
                etc.rename(self.path / "moved")
                etc.symlink_to(victim.absolute())
            self.assertEqual(self.make()[0], os.EX_CANTCREAT)
        self.assertEqual(list(victim.iterdir()), [])

    def test_queue_that_is_a_link(self) -> None:
        """A link in the place of the queue directory is not followed."""
        self.make("-o", "queue_directory=/queue")
        (self.path / "queue").rmdir()
        (self.path / "queue").symlink_to("/etc")
        self.assertEqual(self.make("-o", "queue_directory=/queue")[0], os.EX_CANTCREAT)
        self.assertEqual(os.stat("/etc").st_uid, 0)

    def test_disk(self) -> None:
        """What the system refuses is told with its path."""
        blocked = Path(self.mktemp()).absolute()
        blocked.write_text("")
        code, said = run("--user", "nobody", str(blocked / "jail"))
        self.assertEqual(code, os.EX_CANTCREAT)
        self.assertIn("Not a directory", said)


class WithoutRoot(SynchronousTestCase):
    """What can be told without being root."""

    def test_exit_codes(self) -> None:
        """77 for who is not root, 64 for what makes no sense."""
        self.patch(os, "geteuid", lambda: 1000)
        codes = [run("--user", "nobody", "x")[0], run("x")[0]]
        self.assertEqual(codes, [os.EX_NOPERM, os.EX_USAGE])

    def test_values(self) -> None:
        """Users and places are judged before anything is made."""
        self.assertRaises(JailError, Inmate.named, "root")
        self.assertRaises(JailError, Jail, "/etc/..")
