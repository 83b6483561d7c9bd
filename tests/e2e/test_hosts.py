"""By which names, and for whom, a server without keys can be reached."""

import httpx
import pytest

from process import parkade


@pytest.fixture(scope="module")
def named():
    from process import Server

    server = Server("--host", "localhost", "--allowed-hosts", "llm.example.org", wait=False)
    yield server
    server.close()


def test_a_host_can_be_a_name(named):
    assert named.get("/health").status_code == 200
    assert "whoever can reach this address" not in named.log


def test_listed_hosts_are_answered_for_and_others_are_not(named):
    def asked(host: str) -> httpx.Response:
        return httpx.get(named.url + "/v1/models", headers={"host": host})

    assert asked("llm.example.org").status_code == 200
    assert asked("localhost:1234").status_code == 200
    refused = asked("evil.example")
    assert refused.status_code == 421
    assert refused.json()["error"]["code"] == "host_not_allowed" and "--allowed-hosts" in refused.text


def test_a_public_address_without_keys_is_warned_about(start):
    server = start("--host", "0.0.0.0", wait=False)
    warning = next(line for line in server.log.splitlines() if "whoever can reach this address" in line)
    assert '"level":"WARN"' in warning and "--api-keys" in warning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "http://localhost"], ["--host", "127.0.0.1"]),
        (["--host", "no-such-host.invalid"], ["no-such-host.invalid", "--host"]),
        (["--allowed-hosts", "https://llm.example.org"], ["allowed_hosts", "https://llm.example.org", "llm.example.org"]),
    ],
    ids=["no host", "unknown", "no allowed host"],
)
def test_a_host_that_is_none_is_said_with_its_remedy(arguments, words):
    done = parkade("serve", "--port", "0", *arguments)
    message = done.stderr.decode()
    assert done.returncode in (1, 2) and done.stdout == b""
    for word in words:
        assert word in message


def test_few_files_are_made_more_for_the_connections_that_are_configured(start):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        server = start("--max-connections", "512", wait=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = open(f"/proc/{server.process.pid}/limits").read()
    open_files = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(open_files.split()[3]) >= min(512, hard), open_files
