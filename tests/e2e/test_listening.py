"""TLS, several hosts and Unix sockets, with the official client."""

import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import time

import httpx
import openai
import pytest

from process import PATIENCE, Server, parkade

SHORT = {"model": "default", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0}


class Certificate:
    """A self-signed certificate for localhost, with its key."""

    def __init__(self, directory: pathlib.Path):
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self.renew()

    def renew(self) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", str(self.key), "-out", str(self.cert)],
            check=True, capture_output=True,
        )  # fmt: skip

    @property
    def flags(self) -> list[str]:
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    @property
    def trust(self) -> ssl.SSLContext:
        """A client that trusts it as it is now."""
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture
def certificate(tmp_path):
    return Certificate(tmp_path)


def client(server: Server) -> openai.OpenAI:
    http = httpx.Client(**server.http, timeout=PATIENCE)
    return openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, http_client=http)


def answers(server: Server) -> None:
    """Whole and streamed."""
    with client(server) as openai_client:
        assert openai_client.chat.completions.create(**SHORT).choices[0].finish_reason == "length"
        chunks = list(openai_client.chat.completions.create(**SHORT, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"


def eventually(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_trusted(server: Server, trust: ssl.SSLContext) -> bool:
    try:
        return httpx.get(server.url + "/health", verify=trust, timeout=PATIENCE).status_code == 200
    except httpx.ConnectError:
        return False


def test_the_client_is_answered_over_https_and_a_client_that_leaves_frees_its_request(start, certificate):
    server = start(*certificate.flags, http={"verify": certificate.trust})
    assert server.url.startswith("https://")
    answers(server)
    with client(server) as leaving:
        stream = leaving.chat.completions.create(**{**SHORT, "max_tokens": 1500}, stream=True, extra_body={"ignore_eos": True})
        next(stream)
        stream.close()
    server.await_idle()
    assert server.metric("parkade_lot_requests_total", outcome="cancelled") == 1


def test_a_handshake_that_stops_keeps_nobody_waiting(start, certificate):
    server = start(*certificate.flags, http={"verify": certificate.trust})
    address = httpx.URL(server.url)
    stopped = [socket.create_connection((address.host, address.port)) for _ in range(50)]
    for connection in stopped[::2]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    answers(server)
    for connection in stopped:
        connection.close()


def test_a_hangup_renews_the_certificate_and_one_that_is_broken_changes_nothing(start, certificate):
    old = certificate.trust
    server = start(*certificate.flags, http={"verify": old})
    with client(server) as kept:
        stream = kept.chat.completions.create(**{**SHORT, "max_tokens": 300}, stream=True, extra_body={"ignore_eos": True})
        next(stream)
        certificate.renew()
        server.signal(signal.SIGHUP)
        eventually(lambda: "the certificate was read again" in server.log, "it is read again")
        assert is_trusted(server, certificate.trust) and not is_trusted(server, old)
        trust = certificate.trust
        certificate.cert.write_text("broken")
        server.signal(signal.SIGHUP)
        eventually(lambda: "the certificate stays as it was" in server.log, "it is refused")
        assert str(certificate.cert) in server.log
        assert is_trusted(server, trust)
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length", "a stream that runs is not touched"


def test_the_client_is_answered_over_a_unix_socket(start, tmp_path):
    path = tmp_path / "parkade.sock"
    server = start("--unix", str(path), http={"transport": httpx.HTTPTransport(uds=str(path))}, url="http://localhost")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answers(server)
    assert '"address"' not in server.log, "it listens nowhere else"
    again = parkade("serve", "--unix", str(path))
    assert again.returncode != 0 and "another program listens there" in again.stderr.decode()
    server.process.kill()
    server.process.wait()
    assert path.exists(), "it was left over"
    after = start("--unix", str(path), http={"transport": httpx.HTTPTransport(uds=str(path))}, url="http://localhost")
    answers(after)
    after.signal(signal.SIGTERM)
    assert after.wait() == 0
    assert not path.exists()


def test_several_hosts_and_a_unix_socket_are_one_server(start, tmp_path):
    path = tmp_path / "parkade.sock"
    server = start("--host", "127.0.0.1", "--host", "127.0.0.2", "--unix", str(path))
    port = httpx.URL(server.url).port
    for host in ("127.0.0.1", "127.0.0.2"):
        assert httpx.get(f"http://{host}:{port}/health", timeout=PATIENCE).status_code == 200
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE) as over_socket:
        body = {"prompt": "a", "max_tokens": 1}
        assert over_socket.post("http://any.example/v1/completions", json=body).status_code == 200
    # The loopback addresses still answer for their own names alone.
    refused = httpx.get(f"http://127.0.0.2:{port}/v1/models", headers={"host": "evil.example"}, timeout=PATIENCE)
    assert refused.status_code == 421


@pytest.mark.parametrize("flags, said", [
    (["--tls-cert", "c.pem"], ["--tls-cert is given and --tls-key is not"]),
    (["--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"], ["/nowhere/c.pem", "tls-cert is from the flag"]),
    (["--unix", "/nowhere/socket"], ["/nowhere/socket", "its directory must be there"]),
    (["--host", "127.0.0.1,203.0.113.7"], ["203.0.113.7", "choose another --host"]),
])  # fmt: skip
def test_what_cannot_be_listened_on_is_said_with_a_remedy(flags, said):
    done = parkade("serve", "--port", "0", *flags)
    assert done.returncode != 0
    for words in said:
        assert words in done.stderr.decode()
