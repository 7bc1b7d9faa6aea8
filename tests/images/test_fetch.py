from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from images.imageserver import ImageServer
from ingot.domain import errors
from ingot.images import checksums, configdrive, download, fetch, source

DATA = os.urandom(6_000_000)
SUM = checksums.Checksum("sha256", hashlib.sha256(DATA).hexdigest())
QUICK = download.Limits(stall=0.5, patience=1, pause=0.01)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    made = ImageServer()
    made.files["/disk.raw"] = DATA
    async with made.running():
        yield made


async def test_a_download_is_whole_and_tells_its_progress(server: ImageServer, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    size = await fetch.fetch(
        download.Wanted(f"{server.url}/disk.raw", SUM),
        tmp_path / "a",
        QUICK,
        lambda done, total: told.append((done, total)),
    )
    assert (tmp_path / "a").read_bytes() == DATA
    assert size == len(DATA)
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)


async def test_a_broken_download_goes_on_where_it_stopped(server: ImageServer, tmp_path: Path) -> None:
    server.break_after = [1_000_000, 500_000, 1, 2_000_000]
    await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    starts = [int((wanted or "bytes=0-")[6:-1]) for _, wanted in server.requests]
    assert starts == sorted(starts)
    assert len(starts) == 5
    assert starts[1] > 0  # what had come is kept, as far as the client had read it


async def test_a_server_without_ranges_is_asked_for_all_again(server: ImageServer, tmp_path: Path) -> None:
    server.ranges = False
    server.break_after = [3_000_000]
    server.status = [200, 503]
    await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", QUICK)
    assert (tmp_path / "a").read_bytes() == DATA


async def test_a_file_that_changes_between_two_attempts_is_fetched_anew(server: ImageServer, tmp_path: Path) -> None:
    server.files["/disk.raw"] = bytes(6_000_000)
    server.break_after = [3_000_000]

    def changed(done: int, total: int | None) -> None:
        if done:
            server.files["/disk.raw"], server.etag = DATA, '"two"'

    await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", QUICK, changed)
    assert (tmp_path / "a").read_bytes() == DATA


async def test_a_server_that_stalls_is_given_up_with_a_sentence(server: ImageServer, tmp_path: Path) -> None:
    server.stall_after = 100_000
    limits = download.Limits(stall=0.2, patience=0.3, pause=0.01)
    server.ranges = False
    with pytest.raises(errors.TimedOut) as caught:
        await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", limits)
    assert "no byte came for 0.2 s" in caught.value.sentence()
    assert not (tmp_path / "a").exists()


async def test_a_server_that_is_gone_mid_transfer_is_given_up(server: ImageServer, tmp_path: Path) -> None:
    server.break_after = [1_000_000]
    server.status = [200, *[500] * 1000]
    with pytest.raises(errors.Unreachable) as caught:
        await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", QUICK)
    assert "the server answered 500 (" in caught.value.sentence()
    assert " of 6000000 bytes had come, and no more in " in caught.value.sentence()


async def test_wrong_things_are_refused_at_once(server: ImageServer, tmp_path: Path) -> None:
    wrong = checksums.Checksum("sha256", "0" * 64)
    with pytest.raises(errors.Invalid, match=f"expected sha256 {'0' * 64}, got {SUM.value}"):
        await fetch.fetch(download.Wanted(f"{server.url}/disk.raw", wrong), tmp_path / "a", QUICK)
    assert not (tmp_path / "a").exists()
    with pytest.raises(errors.NotFound, match="There is no image at"):
        await fetch.fetch(download.Wanted(f"{server.url}/none", SUM), tmp_path / "a", QUICK)
    with pytest.raises(errors.TooLarge, match="5000000 are allowed"):
        await fetch.fetch(
            download.Wanted(f"{server.url}/disk.raw", SUM), tmp_path / "a", download.Limits(max_size=5_000_000)
        )
    for url in ("ftp://host/x", "nonsense", "http://"):
        with pytest.raises(errors.Invalid, match="not an http, https, oci or file URL"):
            await fetch.fetch(download.Wanted(url, SUM), tmp_path / "a", QUICK)
    with pytest.raises(errors.Unreachable, match="could not be fetched"):
        await fetch.fetch(download.Wanted("http://127.0.0.1:1/x", SUM), tmp_path / "a", QUICK)


async def test_passwords_in_urls_stay_out_of_errors(tmp_path: Path) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        await fetch.fetch(download.Wanted("http://me:geheim@127.0.0.1:1/x?sig=geheim", SUM), tmp_path / "a", QUICK)
    assert "geheim" not in caught.value.sentence()


SECRET_URLS = [
    "http://me:geheim@127.0.0.1:1/x?sig=geheim",
    "http://me:geheim@127.0.0.1:99999/x?sig=geheim",
    "http://[geheim",
    "https://me:geheim@no.such.host.invalid/x?sig=geheim",
]


@pytest.mark.parametrize("url", SECRET_URLS)
async def test_passwords_stay_out_of_every_error_about_a_url(url: str) -> None:
    with pytest.raises(errors.IngotError) as no_checksum:
        source.from_instance_info({"image_source": url})
    with pytest.raises(errors.IngotError) as list_of_checksums:
        await fetch.resolve_checksum("http://x/y", None, url, QUICK)
    with pytest.raises(errors.IngotError) as drive:
        await configdrive.payload(url, {}, timeout=5)
    for caught in (no_checksum, list_of_checksums, drive):
        assert "geheim" not in caught.value.sentence()


async def test_a_server_that_redirects_in_circles_tells_no_secrets() -> None:
    async def around(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /x?sig=geheim\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with await asyncio.start_server(around, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x?sig=geheim"
        with pytest.raises(errors.Unreachable) as caught:
            await configdrive.payload(url, {}, timeout=5)
    assert "geheim" not in caught.value.sentence()


async def test_local_files_only_come_from_allowed_directories(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "images", tmp_path / "secret"
    allowed.mkdir()
    outside.write_bytes(DATA)
    (allowed / "good").write_bytes(DATA)
    (allowed / "link").symlink_to(outside)
    limits = download.Limits(file_roots=(allowed,))
    assert await fetch.fetch(download.Wanted(f"file://{allowed}/good", SUM), tmp_path / "a", limits) == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA
    for path in (outside, allowed / "link", allowed / "../secret", Path("/etc/shadow")):
        with pytest.raises(errors.Forbidden, match="outside the directories"):
            await fetch.fetch(download.Wanted(f"file://{path}", SUM), tmp_path / "b", limits)
    with pytest.raises(errors.NotFound):
        await fetch.fetch(download.Wanted(f"file://{allowed}/none", SUM), tmp_path / "b", limits)
    with pytest.raises(errors.Invalid, match="names the host"):
        await fetch.fetch(download.Wanted("file://server/images/good", SUM), tmp_path / "b", limits)


async def test_checksum_files_are_read(server: ImageServer) -> None:
    other = "1" * 64
    for text in (
        f"{other}  other.raw\n{SUM.value} *disk.raw\n",
        f"# comment\n{SUM.value}  ./disk.raw\n",
        f"SHA256 (disk.raw) = {SUM.value}\nSHA256 (other.raw) = {other}\n",
        SUM.value,
    ):
        server.files["/SUMS"] = text.encode()
        assert await fetch.resolve_checksum(f"{server.url}/disk.raw", None, f"{server.url}/SUMS", QUICK) == SUM
    server.files["/SUMS"] = f"{other}  other.raw\n".encode()
    with pytest.raises(errors.Invalid, match=r"does not list disk\.raw"):
        await fetch.resolve_checksum(f"{server.url}/disk.raw", None, f"{server.url}/SUMS", QUICK)
    with pytest.raises(errors.Invalid, match="answered 404"):
        await fetch.resolve_checksum(f"{server.url}/disk.raw", None, f"{server.url}/none", QUICK)


@pytest.mark.parametrize(
    ("algo", "value", "said"),
    [
        (None, None, "no checksum"),
        (None, "  ", "no checksum"),
        (None, "d41d8cd98f00b204e9800998ecf8427e", "md5, which can be forged"),
        ("md5", "0" * 32, "md5"),
        ("sha256", "0" * 63, "64 hex digits, not 63"),
        (None, "0" * 63, "63 hex digits"),
        (None, "zz", "hexadecimal"),
        ("crc32", "0" * 8, "not supported"),
    ],
)
def test_missing_and_weak_checksums_are_refused(algo: str | None, value: str | None, said: str) -> None:
    with pytest.raises(errors.Invalid, match=said) as caught:
        checksums.parse(algo, value)
    assert "sha256" in caught.value.sentence()


async def test_a_checksum_file_with_several_kinds(server: ImageServer) -> None:
    sha512 = hashlib.sha512(DATA).hexdigest()
    lines = [f"MD5 (disk.raw) = {'0' * 32}", f"SHA512 (disk.raw) = {sha512}", f"SHA256(disk.raw)= {SUM.value}"]
    server.files["/SUMS"] = "\n".join(lines).encode()
    url, sums = f"{server.url}/disk.raw", f"{server.url}/SUMS"
    assert (await fetch.resolve_checksum(url, None, sums, QUICK)).value == sha512
    assert await fetch.resolve_checksum(url, "sha256", sums, QUICK) == SUM
    server.files["/SUMS"] = lines[0].encode()
    with pytest.raises(errors.Invalid, match="md5, which can be forged"):
        await fetch.resolve_checksum(url, None, sums, QUICK)


async def test_credentials_stay_with_the_server_they_are_for(tmp_path: Path) -> None:
    """A registry sends its clients to another host for the data; that host is not shown the token."""
    seen: list[str] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA) + DATA)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other:
        where = f"http://localhost:{other.sockets[0].getsockname()[1]}/data"

        async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(f"HTTP/1.1 307 x\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(first, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/a/blobs/x"
            wanted = download.Wanted(url, SUM, {"Authorization": "Bearer geheim"})
            await fetch.fetch(wanted, tmp_path / "a", QUICK)
    assert ["geheim" in one for one in seen] == [True, False]
