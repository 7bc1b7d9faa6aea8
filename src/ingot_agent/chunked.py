"""Write an image by its chunk map: fetch only data, verify each chunk, make the rest zero.

May not: write a chunk that is not verified. Invariant: when ``write`` returns, the disk's first ``size``
bytes are the image.
"""

from __future__ import annotations

from collections.abc import Iterator

from ingot_agent import blockdev, chunkmap, commands, errors, transfer

_BUFFERS = 4


def _fetch_run(
    run: tuple[chunkmap.Extent, ...],
    reader: transfer.Reader,
    patience: transfer.Patience,
    pipe: transfer.Pipe,
) -> None:
    """Bring one run of touching extents, going on after the last whole good one when the transfer breaks off."""
    left = list(run)
    while left:
        end = left[-1].offset + left[-1].length
        try:
            response = reader.open(left[0].offset, end - left[0].offset)
            while left:
                _fetch_extent(left[0], response.readinto, pipe)
                left.pop(0)
                patience.progress()
        except (errors.Unreachable, errors.ImageChecksumError) as error:
            reader.close()
            if pipe.stopped.is_set():
                raise
            if isinstance(error, errors.ImageChecksumError):
                patience.failed(_second_look(error, left[0], reader), left[0].offset)
            else:
                patience.failed(error, left[0].offset)


def _second_look(
    error: errors.ImageChecksumError, extent: chunkmap.Extent, reader: transfer.Reader
) -> errors.Unreachable:
    """Fetch a chunk that came damaged once more, alone; give the failure of the way there that patience counts.

    Raises ``error`` when the chunk is damaged at its source, ImageWriteError when the server refuses.
    """
    try:
        buffer = memoryview(bytearray(extent.length))
        reader.open(extent.offset, extent.length).readinto(buffer)
    except errors.Unreachable as broken:
        return broken
    finally:
        reader.close()
    if _digest(buffer) != extent.digest:
        raise error
    return errors.Unreachable(f"The image's data at byte {extent.offset} is damaged on the way, but not at its source.")


def _fetch_extent(extent: chunkmap.Extent, readinto: object, pipe: transfer.Pipe) -> None:
    assert callable(readinto)
    buffer = pipe.buffer()
    view = memoryview(buffer)[: extent.length]
    piece = transfer.Piece(extent.offset, view, buffer)
    try:
        readinto(view)
        own = _digest(view)
        if own != extent.digest:
            raise errors.ImageChecksumError(
                f"The image's data at byte {extent.offset} has the wrong checksum: expected "
                f"{extent.digest.hex()}, "
                f"got {own.hex()}. The image file was changed or damaged: import it again."
            )
    except errors.AgentError:
        pipe.give_back(piece)
        raise
    pipe.put(piece)


def _digest(view: memoryview) -> bytes:
    import hashlib  # loads OpenSSL: only when wanted

    return hashlib.blake2b(view, digest_size=32).digest()


def _zeroed(device: blockdev.Device, holes: list[tuple[int, int]]) -> Iterator[int]:
    for offset, length in holes:
        yield from device.zero(offset, length)


def write(
    device: blockdev.Device, plan: chunkmap.ChunkMap, source: transfer.Source, progress: commands.Progress
) -> None:
    """Write the image to the start of the disk.

    Raises ImageWriteError, ImageChecksumError, BlockDeviceError.
    """
    progress.begin("clearing the ranges without data")
    for _ in _zeroed(device, plan.holes()):
        pass
    progress.begin("writing the image", sum(extent.length for extent in plan.extents))

    def fill(pipe: transfer.Pipe) -> None:
        reader = transfer.Reader(source)
        patience = transfer.Patience(source, pipe.stopped)
        try:
            for run in plan.runs():
                _fetch_run(run, reader, patience, pipe)
        finally:
            reader.close()

    pipe = transfer.Pipe(plan.chunk_size, _BUFFERS, fill)
    for piece in pipe.pieces():
        device.write(piece.view, piece.offset, page_aligned=True)
        progress.add(len(piece.view))
        pipe.give_back(piece)
