"""
A directory in which the service can live, and nothing else: what ``twistd --chroot`` needs.

====================================  =======================================================================
``etc/passwd``, ``etc/group``         the service's user and its groups; without them twistd cannot take its
                                      identity on
``etc/resolv.conf``, ``etc/hosts``,   copies; the name servers, and what the C library needs for
``etc/nsswitch.conf``                 ``smtp_host_lookup = native``
``etc/services``                      a copy, for ports that are written as names
``etc/localtime``                     a copy, or the log would be in UTC
``dev/null``                          without it a twistd that becomes a daemon waits for ever
the CA file                           a copy at its own path, where ``smtp_tls_CAfile`` names one
the queue directory                   at its own path, and the user's
====================================  =======================================================================

Promises: made again, it is brought up to date; nothing is written through a directory that anybody but root may write
to, so a service that was broken into cannot make root write elsewhere. No private key and no password is copied: they
are read before the jail closes.
"""

import grp
import os
import pwd
import stat
from dataclasses import dataclass

_COPIES = ("/etc/resolv.conf", "/etc/hosts", "/etc/services", "/etc/localtime")
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
_NULL = os.makedev(1, 3)


class JailError(Exception):
    """The jail cannot be made; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Inmate:
    """
    Who lives there.

    :param groups: all groups of the user, with their numbers.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[tuple[str, int], ...]

    @classmethod
    def named(cls, name: str) -> "Inmate":
        """
        The user of a name.

        :raises JailError: when there is none, or it is root.
        """
        try:
            user = pwd.getpwnam(name)
            groups = tuple((grp.getgrgid(gid).gr_name, gid) for gid in os.getgrouplist(name, user.pw_gid))
        except KeyError as error:
            raise JailError(f"{name}: {error.args[0] if error.args else 'there is no such user'}") from None
        if user.pw_uid == 0:
            raise JailError(f"{name}: a jail does not hold root; give the service a user of its own")
        return cls(name, user.pw_uid, user.pw_gid, groups)


class Jail:
    """
    One jail.

    :param path: where it is to be.
    :raises JailError: when that is no place for one.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        if self._path == "/":
            raise JailError(f"{path}: this is the root directory")

    def make(self, inmate: Inmate, queue_directory: str, ca_file: str = "") -> None:
        """
        Make it, or bring it up to date.

        :param queue_directory: its path inside.
        :param ca_file: a file to copy to the same path; empty: none.
        :raises JailError: when a part of it is not root's.
        :raises OSError: when something cannot be made.
        """
        self._folder("/")
        shell = "/usr/sbin/nologin"
        self._write("/etc/passwd", f"{inmate.name}:x:{inmate.uid}:{inmate.gid}::/:{shell}\n".encode())
        lines = (f"{name}:x:{gid}:{inmate.name}\n" for name, gid in inmate.groups)
        self._write("/etc/group", "".join(lines).encode())
        self._write("/etc/nsswitch.conf", _NSSWITCH.encode())
        for path in (*_COPIES, os.path.abspath(ca_file) if ca_file else ""):
            if path and os.path.exists(path):
                with open(path, "rb") as file:
                    self._write(path, file.read())
        self._null()
        self._queue(inmate, queue_directory)

    def _folder(self, path: str) -> None:
        """A directory that is root's, with all that are above it in the jail."""
        if path != "/":
            self._folder(os.path.dirname(path))
        inside = self._inside(path)
        try:
            os.mkdir(inside, 0o755)
        except FileExistsError:
            status = os.lstat(inside)
            if not stat.S_ISDIR(status.st_mode):
                raise JailError(f"{inside} is no directory") from None
            if status.st_uid or status.st_mode & 0o022:
                raise JailError(
                    f"{inside} can be written by others than root; chown it to root, chmod it 755"
                ) from None
        else:
            os.chmod(inside, 0o755)

    def _write(self, path: str, data: bytes) -> None:
        """A file with this content, in the place of another at once."""
        self._folder(os.path.dirname(path))
        fresh = self._inside(path) + ".new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        os.rename(fresh, self._inside(path))

    def _null(self) -> None:
        self._folder("/dev")
        path = self._inside("/dev/null")
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, _NULL)
        except FileExistsError:
            if os.lstat(path).st_rdev != _NULL:
                raise JailError(f"{path} is something else than a null device; remove it") from None
        os.chmod(path, 0o666)

    def _queue(self, inmate: Inmate, path: str) -> None:
        clean = "/" + os.path.normpath(path).lstrip("/")
        if clean == "/" or not path.startswith("/"):
            raise JailError(f"queue_directory = {path}: expected an absolute path; it is the one in the jail")
        self._folder(os.path.dirname(clean))
        inside = self._inside(clean)
        try:
            os.mkdir(inside, 0o755)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(inside).st_mode):
                raise JailError(f"{inside} is no directory") from None
        os.chown(inside, inmate.uid, inmate.gid, follow_symlinks=False)

    def _inside(self, path: str) -> str:
        return self._path + path.rstrip("/")
