"""
Give up root, and shut oneself in, as master.cf asks for it.

Everything that only root can read has been read before, and whatever may have to be imported is imported:
afterwards the interpreter's library may be out of reach (``smtpclient.preload``).
"""

import grp
import os
import pwd

ROOT = "/"


def make_folder(path: str, owner: str) -> None:
    """
    Make a folder for what the owner of mail keeps there, where there is none.

    :raises OSError: when it cannot be made.
    :raises ValueError: when there is no such user.
    """
    user = _user(owner)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    os.chown(path, user.pw_uid, -1)


def _user(owner: str) -> pwd.struct_passwd:
    try:
        user = pwd.getpwnam(owner)
    except KeyError:
        raise ValueError(f"mail_owner = {owner}: there is no such user") from None
    if user.pw_uid == 0:
        raise ValueError(f"mail_owner = {owner}: this is root")
    return user


def drop(owner: str, queue_directory: str, *, gives_up_root: bool, shuts_itself_in: bool) -> None:
    """
    Go to the queue directory, make it the root directory, and become the owner of mail, as far as wanted.

    :param owner: ``mail_owner``.
    :raises OSError: when one of it does not work.
    :raises ValueError: when there is no such user, or it is root.
    """
    user = _user(owner) if gives_up_root else None
    groups = _groups(user) if user is not None else []
    os.chdir(queue_directory)
    if shuts_itself_in:
        os.chroot(queue_directory)
        os.chdir(ROOT)
    if user is not None:
        os.setgroups(groups)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def _groups(user: pwd.struct_passwd) -> list[int]:
    """The groups of a user, looked up while there is a place to look."""
    return sorted({user.pw_gid, *(group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem)})
