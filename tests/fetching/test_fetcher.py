"""Files are fetched from public addresses and from listed hosts, within bounds, and from nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from control_plane.errors import FileRefused, TooLarge
from control_plane.fetching.addresses import PrivateHosts
from control_plane.fetching.fetcher import Fetcher, look_up
from tests.support.files import Files, Names
from tests.support.pdfs import pdf

PDF = pdf("Hello")


@asynccontextmanager
async def fetcher(
    *hosts: str, names: Names | None = None, max_bytes: int = 1_000_000, timeout_s: float = 5
) -> AsyncIterator[Fetcher]:
    listed = PrivateHosts.listed(",".join(hosts))
    made = Fetcher(private_hosts=listed, max_bytes=max_bytes, timeout_s=timeout_s, resolve=names or look_up)
    yield made
    await made.aclose()


@pytest_asyncio.fixture
async def files() -> AsyncIterator[Files]:
    async with Files.start({"a.pdf": PDF, "b.pdf": PDF + b"%"}) as started:
        yield started


async def test_a_listed_host_is_fetched_from_by_its_name_at_the_address_that_was_looked_up(files: Files) -> None:
    # the name exists for us alone, so whoever looked it up again would find nothing
    names = Names(files_test=[["127.0.0.1"], ["169.254.169.254"]])
    async with fetcher("files.test", names=names) as made:
        assert await made.fetch(f"http://files.test:{files.port}/files/a.pdf?token=1#page=2", team="acme") == PDF
    assert names.asked == ["files.test"]
    assert files.asked == [(f"files.test:{files.port}", "/files/a.pdf")]


async def test_each_hop_of_a_redirect_is_judged(files: Files) -> None:
    url = files.url("to?url=/files/a.pdf")
    async with fetcher(files.host) as made:
        assert await made.fetch(url, team="acme") == PDF
        for target in (
            f"http://localhost:{files.port}/files/a.pdf",  # the same server by a name that is not listed
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:127.0.0.1]/",
            "//10.0.0.1/",
            "ftp://127.0.0.1/files/a.pdf",
            "file:///etc/passwd",
            f"http://user:secret@{files.host}/files/a.pdf",
        ):
            with pytest.raises(FileRefused) as refused:
                await made.fetch(files.url(f"to?url={target}"), team="acme")
            assert "secret" not in refused.value.message
        with pytest.raises(FileRefused, match="redirects more than 5 times"):
            await made.fetch(files.url("loop/0"), team="acme")
    assert [path for _, path in files.asked].count("/files/a.pdf") == 1


async def test_an_address_that_changes_between_two_hops_is_judged_again(files: Files) -> None:
    names = Names(files_test=[["127.0.0.1"]], rebinding_test=[["127.0.0.1"]])
    async with fetcher("files.test", names=names) as made:
        with pytest.raises(FileRefused, match="cannot be resolved to a public address"):
            await made.fetch(
                f"http://files.test:{files.port}/to?url=http://rebinding.test:{files.port}/files/a.pdf", team="acme"
            )
    assert names.asked == ["files.test", "rebinding.test"]
    assert len(files.asked) == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse(files: Files) -> None:
    names = Names(mixed_test=[["93.184.216.34", "127.0.0.1"]])
    async with fetcher(names=names) as made:
        with pytest.raises(FileRefused, match="cannot be resolved to a public address"):
            await made.fetch(f"http://mixed.test:{files.port}/files/a.pdf", team="acme")
    assert files.asked == []


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::]", "[fe80::1%25lo]"),
        *(
            "169.254.169.254",
            "[fd00:ec2::254]",
            "10.0.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "①②⑦.0.0.1",
            "no.such.invalid",
        ),
    ],
)
async def test_what_only_this_machine_reaches_is_refused(files: Files, host: str) -> None:
    async with fetcher() as made:
        with pytest.raises(FileRefused) as refused:
            await made.fetch(f"http://{host}:{files.port}/files/a.pdf", team="acme")
    assert files.asked == []
    # nobody learns which names and addresses there are
    assert "CONTROL_PLANE_PRIVATE_FILE_HOSTS" in refused.value.message or "not an http" in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        *("", "file:///etc/passwd", "ftp://example.com/a.pdf", "gs://bucket/a.pdf", "s3://bucket/a.pdf", "http://"),
        *("http:///a.pdf", "https://example.com:99999/", "https://example.com:0/", "javascript:alert(1)", "//a/b"),
        *("http://[::1", "http://a b/", "gopher://127.0.0.1:6379/_INFO", "data:application/pdf;base64,AAAA", "/a.pdf"),
    ],
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    async with fetcher() as made:
        with pytest.raises(FileRefused):
            await made.fetch(url, team="acme")


async def test_passwords_in_urls_are_refused_and_not_repeated(files: Files) -> None:
    async with fetcher(files.host) as made:
        with pytest.raises(FileRefused, match="holds a user name or password"):
            await made.fetch(f"http://user:secret@{files.host}/files/a.pdf", team="acme")
        with pytest.raises(FileRefused) as refused:
            await made.fetch(files.url("status/404?token=secret"), team="acme")
    assert refused.value.message == f"{files.url('status/404')} answered with status 404."


@pytest.mark.parametrize("path", ["endless", "announced"])
async def test_a_file_that_is_too_large_is_not_read_to_its_end(files: Files, path: str) -> None:
    async with fetcher(files.host, max_bytes=1_000_000) as made:
        with pytest.raises(TooLarge, match="larger than 1000000 bytes"):
            await made.fetch(files.url(path), team="acme")


async def test_files_may_not_be_too_large_together_or_too_many(files: Files) -> None:
    urls = [files.url("files/a.pdf"), files.url("files/b.pdf")]
    async with fetcher(files.host, max_bytes=2 * len(PDF)) as made:
        assert await made.fetch_all([urls[0], urls[0]], team="acme") == {urls[0]: PDF}
        with pytest.raises(TooLarge, match="together"):
            await made.fetch_all(urls, team="acme")
        with pytest.raises(FileRefused, match="21 files; 20 are allowed"):
            await made.fetch_all([f"{urls[0]}?{number}" for number in range(21)], team="acme")
    assert len(files.asked) == 3


async def test_a_file_that_was_compressed_is_refused(files: Files) -> None:
    async with fetcher(files.host) as made:
        with pytest.raises(FileRefused, match="compressed"):
            await made.fetch(files.url("packed"), team="acme")


@pytest.mark.parametrize("path", ["slow", "drip"])
async def test_a_server_that_is_slow_is_given_up(files: Files, path: str) -> None:
    async with fetcher(files.host, timeout_s=0.5) as made:
        with pytest.raises(FileRefused, match=r"within 0\.5 seconds"):
            await made.fetch(files.url(path), team="acme")


async def test_a_server_that_is_not_there_is_told_apart(files: Files) -> None:
    async with fetcher("127.0.0.1:1") as made:
        with pytest.raises(FileRefused, match="could not be reached"):
            await made.fetch("http://127.0.0.1:1/a.pdf", team="acme")
        with pytest.raises(FileRefused, match="longer than 8192"):
            await made.fetch("http://127.0.0.1:1/" + "a" * 9000, team="acme")
