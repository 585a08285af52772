"""The folder of locks that all users of a machine share, opened so that nobody can misuse us.

Anybody may have made the folder and anything in it. So: no link is followed, every file is opened
relative to the folder that was checked, what others made is only read and locked, and we write only
to files that did not exist before.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalpack.errors import UserError

FOLDER = "EVALPACK_LEASE_DIR"
DEFAULT = Path("/tmp/evalpack-leases")  # noqa: S108 - one place for all users; checked below
_LARGEST = 64 * 1024
_SETTLE_SECONDS = 1.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a planted pipe must not block us


@dataclass(frozen=True)
class LeaseFolder:
    """The folder, open; close() when done."""

    path: Path
    fd: int

    @classmethod
    def open(cls) -> "LeaseFolder":
        """Open EVALPACK_LEASE_DIR, else /tmp/evalpack-leases; make it if it is not there.

        Raises:
            UserError: it is a link or no folder, or others could replace our files in it.
        """
        path = Path(os.environ.get(FOLDER) or DEFAULT)
        try:
            fd = _open_folder(path)
        except OSError as error:
            raise UserError(
                f"The lease folder {path} cannot be used ({error.strerror}): it must be a real "
                f"folder, not a link; remove it, or set {FOLDER} to another on a local disk."
            ) from error
        # Cleaners of /tmp (systemd-tmpfiles) leave a folder alone while it is locked.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return cls(path, fd)

    def close(self) -> None:
        """Close it; locks taken in it stay."""
        os.close(self.fd)

    def names(self) -> list[str]:
        """What lies in it, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208 - not by path: it may lead elsewhere now

    def lock(self, slot: str) -> int | None:
        """Lock the slot's file; returns its descriptor, None while another holds the lock.

        Raises:
            UserError: the file is a link, no plain file, or on a disk without locks.
        """
        name = lock_name(slot)
        while True:
            fd = self._open_lock(name)
            try:
                locked = _try_lock(fd, fcntl.LOCK_EX)
            except OSError as error:
                os.close(fd)
                raise UserError(
                    f"{self.path / name} cannot be locked ({error.strerror}); set {FOLDER} to a "
                    "folder on a local disk."
                ) from error
            if not locked:
                os.close(fd)
                return None
            if self._is_still(name, fd):
                return fd
            os.close(fd)  # it was removed and perhaps made anew while we waited

    def create(self, name: str) -> int:
        """Make a file that did not exist, readable by all; returns its descriptor.

        Raises:
            FileExistsError: it exists.
            UserError: the folder cannot be written to.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            fd = os.open(name, flags, 0o644, dir_fd=self.fd)
        except FileExistsError:
            raise
        except OSError as error:
            raise UserError(
                f"Nothing can be written in the lease folder {self.path} ({error.strerror}); make "
                f"it writable (`chmod 1777`) or set {FOLDER} to another on a local disk."
            ) from error
        os.fchmod(fd, 0o644)  # whatever the umask is
        return fd

    def read(self, name: str) -> tuple[str, int] | None:
        """A file's text and owner (uid); None if it is gone, unreadable or no plain file."""
        try:
            fd = os.open(name, _READ, dir_fd=self.fd)
        except OSError:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                return None
            return os.read(fd, _LARGEST).decode(errors="replace"), status.st_uid
        finally:
            os.close(fd)

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds the lock of a file; a file that is gone is not locked."""
        with self._looking_at(name) as nobody_holds_it:
            return nobody_holds_it is False

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and ours to remove."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(name, dir_fd=self.fd)

    def remove_unlocked(self, name: str) -> None:
        """Remove a file unless somebody holds its lock; nobody can take it meanwhile."""
        with self._looking_at(name) as nobody_holds_it:
            if nobody_holds_it:
                self.remove(name)

    @contextlib.contextmanager
    def _looking_at(self, name: str) -> Iterator[bool | None]:
        """Yield whether nobody holds the lock, and hold it shared; None if there is no such file.

        Shared, so that two who look at once do not take each other for the holder.
        """
        try:
            fd = os.open(name, _READ, dir_fd=self.fd)
        except OSError:
            yield None
            return
        try:
            yield _try_lock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def _open_lock(self, name: str) -> int:
        for _ in _moments():
            try:
                fd = os.open(name, _READ, dir_fd=self.fd)
            except FileNotFoundError:
                # Only now with O_CREAT: in a sticky folder it is refused for others' files.
                with contextlib.suppress(FileExistsError):
                    os.close(self.create(name))
                continue
            except PermissionError:
                continue  # just made by another user, not yet readable
            except OSError as error:
                raise self._planted(name) from error
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
                if status.st_uid == os.geteuid():
                    os.fchmod(fd, 0o644)  # who made it may have been killed before doing so
                return fd
            os.close(fd)
            raise self._planted(name)
        raise self._planted(name)

    def _planted(self, name: str) -> UserError:
        return UserError(
            f"{self.path / name} is not a plain file that can be read, so it cannot be a lock; "
            f"remove it, or set {FOLDER} to another folder on a local disk."
        )

    def _is_still(self, name: str, fd: int) -> bool:
        try:
            there = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(fd))


def lock_name(slot: str) -> str:
    """The name of a slot's lock file."""
    return f"{slot}.lock"


def unlock(fd: int) -> None:
    """Let go of a lock, also on behalf of forked children that share the descriptor."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_folder(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = False
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        made = True
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    # The default folder also if ours and there: who made it may have been killed before this line.
    if made or (path == DEFAULT and os.fstat(fd).st_uid == os.geteuid()):
        os.fchmod(fd, 0o1777)  # like /tmp: all may add files, none may replace another's
    # A folder that another process has just made has this mode a moment later.
    if any(_is_safe(os.fstat(fd)) for _ in _moments()):
        return fd
    os.close(fd)
    raise OSError(
        errno.EPERM, "others could replace our files in it, or we may not write; chmod 1777"
    )


def _is_safe(status: os.stat_result) -> bool:
    sticky = bool(status.st_mode & stat.S_ISVTX)
    others_write = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    ours = status.st_uid == os.geteuid()
    return (others_write and sticky) or (ours and not others_write)


def _moments() -> Iterator[None]:
    """Some tries over a second: enough for another process to finish what it has begun."""
    end = time.monotonic() + _SETTLE_SECONDS
    while True:
        yield
        if time.monotonic() > end:
            return
        time.sleep(0.01)
