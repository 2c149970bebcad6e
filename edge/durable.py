"""The only file in the product that opens files for writing. What returns has reached the disk; what fails says so.

`Disk` holds few primitives, and each single effect of theirs (one write, one fsync, one rename) passes through
`Disk.effect`: there an operating system's error becomes one of ours, and there a test's subclass fails or crashes at
the n-th effect. Any thread may call; nothing is kept between calls. Reading needs none of this and is done anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from edge.clock import MILLISECOND, SECOND
from edge.errors import Refused, StoreError, StoreFull
from edge.ports import Clock

LOCK_PATIENCE_S: Final = 10.0  # longer would let a frozen process hold up deletion
TEMP_SUFFIX: Final = ".tmp"  # what recovery may remove without looking
_POLL_S: Final = 0.05
# One write of 4 MiB took five times as long as four of 1 MiB (ext4, Linux 6.18: the page cache looks for huge folios).
_CHUNK: Final = 1024 * 1024
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class Disk:
    """Durable primitives. All raise StoreFull when there is no space, StoreError on any other failure."""

    def effect(self, what: str, path: Path, call: Callable[[], T]) -> T:
        """Perform one side effect and translate its error."""
        try:
            return call()
        except OSError as err:
            kind = StoreFull if err.errno in _NO_SPACE else StoreError
            raise kind(f"{path}: cannot {what}: {err.strerror}") from err

    def make_folder(self, path: Path, *, mode: int = 0o700) -> None:
        """Make a folder, and the folders above it; one that is there stays as it is."""
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        for folder in reversed(missing):
            self.effect("make this folder", folder, partial(_mkdir, folder, mode))
            self.sync_folder(folder.parent)

    def create(self, path: Path, data: bytes | memoryview) -> None:
        """Make a new file: whole and durable, or not at all. Raises StoreError when it exists."""
        self.create_together(path.parent, {path.name: data})

    def create_together(self, folder: Path, files: Mapping[str, bytes | memoryview]) -> None:
        """Make new files in one folder; they appear in this order, and one fsync of the folder makes all of them last."""
        for name, data in files.items():
            path = folder / name
            temp = self._write_temp(path, (data,))
            try:  # a hard link, because a rename would replace a file that is there
                self.effect("create", path, partial(os.link, temp, path))
            finally:
                self.effect("remove", temp, partial(os.unlink, temp))
        self.sync_folder(folder)

    def create_from(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Make a new file of pieces that need not fit in RAM together: whole and durable, or not at all.

        For a disk of any kind, also one without hard links (a USB stick). Raises StoreError when it exists.
        """
        temp = self._write_temp(path, pieces)
        try:
            if path.exists():
                raise StoreError(f"{path}: cannot create: File exists")
            self.effect("create", path, lambda: os.rename(temp, path))
        except StoreError:
            self.unlink(temp)
            raise
        self.sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, *, mode: int = 0o600) -> None:
        """Put a file in place of whatever is there: a reader sees the old one or the new one, whole."""
        temp = self._write_temp(path, (data,))
        if mode != 0o600:  # of the very file, for the umask has no say
            self.effect("set the mode of", temp, lambda: os.chmod(temp, mode))
        self.effect("replace", path, lambda: os.replace(temp, path))
        self.sync_folder(path.parent)

    def swap(self, path: Path, data: bytes) -> None:
        """Put a file in place of whatever is there, whole, without waiting for a disk.

        For a file on a tmpfs that outlives its process and not the machine: no kill can halve it, a power cut may.
        """
        temp = path.with_name(path.name + TEMP_SUFFIX)
        fd = self._open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self._write(fd, temp, data)
        finally:
            os.close(fd)
        self.effect("replace", path, lambda: os.replace(temp, path))

    def append(self, path: Path, data: bytes) -> int:
        """Add to the end of a file (made if missing) and make it last; where in the file it went.

        When it cannot be written whole, what was written of it is cut off again.
        """
        is_new = not path.exists()
        fd = self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            before = os.fstat(fd).st_size
            try:
                self._write(fd, path, data)
                self.effect("fsync", path, lambda: os.fsync(fd))
            except StoreError:
                # If even this fails, the half line is found and repaired when the file is next opened.
                with contextlib.suppress(StoreError):
                    self.effect("shorten", path, lambda: os.ftruncate(fd, before))
                raise
            end = os.lseek(fd, 0, os.SEEK_CUR)  # with O_APPEND: the end of what this call wrote
        finally:
            os.close(fd)
        if is_new:
            self.sync_folder(path.parent)
        return end - len(data)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to its first `size` bytes."""
        fd = self._open(path, os.O_WRONLY)
        try:
            self.effect("truncate", path, lambda: os.ftruncate(fd, size))
            self.effect("fsync", path, lambda: os.fsync(fd))
        finally:
            os.close(fd)

    def allocate(self, path: Path, size: int) -> None:
        """Make a file own exactly `size` bytes of the disk: made, grown or shortened; as it was when that fails."""
        is_new = not path.exists()
        fd = self._open(path, os.O_WRONLY | os.O_CREAT)
        try:
            before = os.fstat(fd).st_size
            try:
                if size > before:
                    self.effect("reserve space for", path, lambda: os.posix_fallocate(fd, before, size - before))
                self.effect("resize", path, lambda: os.ftruncate(fd, size))
                self.effect("fsync", path, lambda: os.fsync(fd))
            except StoreError:
                with contextlib.suppress(StoreError):
                    self.effect("shorten", path, lambda: os.ftruncate(fd, before))
                if is_new:
                    self.unlink(path)
                raise
        finally:
            os.close(fd)
        if is_new:
            self.sync_folder(path.parent)

    def let_go(self, path: Path, size: int) -> None:
        """Give back the space of a file beyond `size`, without waiting for a disk: after a power cut it may be there again."""
        fd = self._open(path, os.O_WRONLY)
        try:
            self.effect("shorten", path, lambda: os.ftruncate(fd, size))
        finally:
            os.close(fd)

    def deface(self, path: Path, size: int) -> None:
        """Overwrite the first `size` bytes of a file with zeros, where they lie on the disk."""
        fd = self._open(path, os.O_WRONLY)
        try:
            zeros = bytes(min(size, os.fstat(fd).st_size))
            self.effect("overwrite", path, lambda: os.pwrite(fd, zeros, 0))
            self.effect("fsync", path, lambda: os.fdatasync(fd))
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file or a folder; both folders are synced, the new one first."""
        self.effect("move away", source, lambda: os.rename(source, target))
        self.sync_folder(target.parent)
        self.sync_folder(source.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file; gone already is as good. Not durable before `sync_folder`."""
        with contextlib.suppress(FileNotFoundError):
            self._tolerate_missing("remove", path, lambda: os.unlink(path))

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; gone already is as good."""
        with contextlib.suppress(FileNotFoundError):
            self._tolerate_missing("remove", path, lambda: os.rmdir(path))
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder last."""
        fd = self.effect("open", path, lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            self.effect("fsync", path, lambda: os.fsync(fd))
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """Bytes that this user may still write beside `path`."""
        found = self.effect("measure the free space at", path, lambda: os.statvfs(path))
        return found.f_bavail * found.f_frsize

    @contextlib.contextmanager
    def made_whole(self, to: Path) -> Iterator[Path]:
        """A folder to fill, which gets the name `to` when that went well, and goes when it did not."""
        half = _half(to)
        self.make_folder(half)
        try:
            yield half
            self.rename(half, to.absolute())
        except BaseException:  # whatever stopped it: another process, the disk, a person's Ctrl-C
            for path in half.iterdir() if half.exists() else ():
                self.unlink(path)
            self.remove_folder(half)
            raise

    @contextlib.contextmanager
    def locked(self, path: Path, clock: Clock, *, patience_s: float = LOCK_PATIENCE_S) -> Iterator[bool]:
        """Hold the exclusive lock of a file; False when it did not come in `patience_s`.

        Whoever gets False decides whether to go on: the holder may be frozen and may stay so.
        """
        fd = self._open(path, os.O_RDWR | os.O_CREAT)
        try:
            deadline_ns = clock.boot_ns() + int(patience_s * SECOND)
            while not (got := _try_lock(fd)) and clock.boot_ns() + MILLISECOND < deadline_ns:
                clock.sleep(_POLL_S)
            yield got
        finally:
            os.close(fd)  # gives the lock back

    def _tolerate_missing(self, what: str, path: Path, call: Callable[[], None]) -> None:
        try:
            self.effect(what, path, call)
        except StoreError as err:
            if isinstance(err.__cause__, FileNotFoundError):
                raise err.__cause__ from None
            raise

    def _open(self, path: Path, flags: int) -> int:
        return self.effect("open", path, lambda: os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def _write(self, fd: int, path: Path, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            wrote = self.effect("write", path, partial(os.write, fd, left[:_CHUNK]))
            left = left[wrote:]

    def _write_temp(self, path: Path, pieces: Iterable[bytes | memoryview]) -> Path:
        temp = path.with_name(path.name + TEMP_SUFFIX)
        self.unlink(temp)  # of an attempt that failed; there is one writer for each file
        fd = self._open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            for piece in pieces:
                self._write(fd, temp, piece)
            self.effect("fsync", temp, lambda: os.fsync(fd))
        except BaseException:  # whatever stopped it: the disk, a piece that could not be made, a person's Ctrl-C
            # Its space is wanted; if removing fails too, recovery removes it.
            with contextlib.suppress(StoreError):
                self.unlink(temp)
            raise
        finally:
            os.close(fd)
        return temp


def refuse_used(to: Path) -> None:
    """Raise Refused when `to` cannot become a new folder by `Disk.made_whole`: it is used, or a half one was left."""
    target = to.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{to}: exists and is not empty; choose a new folder")
    if (half := _half(to)).exists():
        raise Refused(f"{half}: left by a copy that did not finish; remove it first")


def _half(to: Path) -> Path:
    target = to.absolute()
    return target.with_name(target.name + TEMP_SUFFIX)


def _mkdir(path: Path, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
