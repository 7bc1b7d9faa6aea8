"""Open a disk (or, for tests, a file), write aligned pieces, make ranges read as zeros, see its partitions again.

May not: know images or partition tables. Invariant: after ``zero`` a range reads as zeros, whatever the
disk can do. Source of the ioctl numbers: include/uapi/linux/fs.h of the Linux kernel.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ingot_agent import errors

_BLKRRPART = 0x125F
_BLKGETSIZE64 = 0x80081272
_BLKSSZGET = 0x1268
_BLKZEROOUT = 0x127F
_ZERO_STEP = 1 << 30  # one ioctl zeroes at most this much, so that progress shows
ZEROS = mmap.mmap(-1, 4 << 20)


@dataclass(frozen=True)
class Device:
    """An open disk.

    ``direct`` bypasses the page cache (-1 when the disk cannot), ``sector`` is its logical sector. ``base`` is where on
    the disk all offsets count from: not 0 for a part of a disk (see ``part``).
    """

    path: str
    size: int
    sector: int
    buffered: int
    direct: int
    is_block: bool
    base: int = 0

    @property
    def name(self) -> str:
        """What an error calls it."""
        return f"the disk {self.path}" if self.base == 0 else f"the partition at {self.base} of {self.path}"

    @property
    def remedy(self) -> str:
        """What to do when an image does not fit."""
        return "Choose a larger disk." if self.base == 0 else "Ask for a larger root partition (root_gb)."

    def part(self, offset: int, size: int) -> Device:
        """The same disk, seen through a window: offset 0 is ``offset``, and it ends after ``size`` bytes."""
        return replace(self, base=self.base + offset, size=size)

    def write(self, view: memoryview, offset: int, *, page_aligned: bool = False) -> None:
        """Write all of ``view``, past the page cache when the memory, place and length allow it.

        Raises BlockDeviceError.
        """
        offset += self.base
        straight = page_aligned and self.direct >= 0 and offset % 4096 == 0 and len(view) % 4096 == 0
        descriptor = self.direct if straight else self.buffered
        done = 0
        while done < len(view):
            try:
                done += os.pwrite(descriptor, view[done:], offset + done)
            except OSError as error:
                raise errors.BlockDeviceError(
                    f"Writing {self.path} at byte {offset + done} failed: {error.strerror}. Check or replace the disk."
                ) from error

    def read(self, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes. Raises BlockDeviceError."""
        try:
            return os.pread(self.buffered, length, self.base + offset)
        except OSError as error:
            raise errors.BlockDeviceError(
                f"Reading {self.path} at byte {offset} failed: {error.strerror}. Check or replace the disk."
            ) from error

    def zero(self, offset: int, length: int) -> Iterator[int]:
        """Make a range read as zeros, giving the bytes done step by step."""
        while length > 0:
            step = min(length, _ZERO_STEP)
            self._zero_step(offset, step)
            yield step
            offset, length = offset + step, length - step

    def _zero_step(self, offset: int, length: int) -> None:
        if self.is_block and offset % self.sector == 0 and length % self.sector == 0:
            try:
                fcntl.ioctl(self.buffered, _BLKZEROOUT, struct.pack("=QQ", self.base + offset, length))
                return
            except OSError:
                pass  # the kernel falls back to writing zeros itself; if even that fails the writes below say why
        view = memoryview(ZEROS)
        for at in range(0, length, len(ZEROS)):
            self.write(view[: min(len(ZEROS), length - at)], offset + at, page_aligned=True)

    def flush(self) -> None:
        """Return when everything written is on the disk. Raises BlockDeviceError."""
        try:
            os.fsync(self.buffered)
        except OSError as error:
            raise errors.BlockDeviceError(
                f"{self.path} did not take the data: {error.strerror}. Check the disk."
            ) from error

    def drop_cache(self) -> None:
        """Forget cached pages, so that the next read comes from the disk."""
        os.posix_fadvise(self.buffered, 0, 0, os.POSIX_FADV_DONTNEED)

    def reread_partitions(self, timeout: float = 10.0) -> None:
        """Have the kernel read the partition table again; waits while the disk is still in use.

        Raises BlockDeviceError.
        """
        if not self.is_block:
            return
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.ioctl(self.buffered, _BLKRRPART)
                return
            except OSError as error:
                if error.errno == 22:  # EINVAL: a device without partitions, such as a plain loop device
                    return
                if time.monotonic() > end:
                    text = (
                        f"The kernel does not read the partitions of {self.path} again: {error.strerror}. "
                        "Reboot the machine."
                    )
                    raise errors.BlockDeviceError(text) from error
            _pause(0.05)


def _pause(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)


def _geometry(descriptor: int, is_block: bool, size: int) -> tuple[int, int]:
    if not is_block:
        return size, 512
    sizes = fcntl.ioctl(descriptor, _BLKGETSIZE64, bytes(8))
    sector = fcntl.ioctl(descriptor, _BLKSSZGET, bytes(4))
    return struct.unpack("=Q", sizes)[0], struct.unpack("=i", sector)[0]


@contextmanager
def opened(path: str, *, exclusive: bool = True) -> Generator[Device, None, None]:
    """Open a disk for writing. Raises BlockDeviceError when it is absent or in use.

    While it is held exclusively nobody, ourselves included, can mount its partitions.
    """
    try:
        mode = os.stat(path)
        is_block = stat.S_ISBLK(mode.st_mode)
        buffered = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if is_block and exclusive else 0))
    except OSError as error:
        text = f"The disk {path} cannot be opened: {error.strerror}. Check that it is there and that nothing uses it."
        raise errors.BlockDeviceError(text) from error
    try:
        direct = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        direct = -1
    try:
        size, sector = _geometry(buffered, is_block, mode.st_size)
        yield Device(path, size, sector, buffered, direct, is_block)
    finally:
        os.close(buffered)
        if direct >= 0:
            os.close(direct)
