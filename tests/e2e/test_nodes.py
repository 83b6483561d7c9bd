"""Three servers on one PostgreSQL: whatever was made at one can be seen and ended at the others, and none is missed."""

import collections
import concurrent.futures
import json
import signal
import time

import httpx
import openai
import pytest

from nginx import Nginx
from process import PATIENCE, parkade

LINES = 120


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    done = parkade("synth", "--shape", "tiny-qwen2", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture
def nodes(start, tiny, database):
    settings = ["--model", str(tiny), "--threads", "1", "--kv-cache-mb", "16", "--max-seqs", "2"]
    settings += ["--store", database, "--lease-seconds", "2"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda _: start(*settings), range(3)))


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=PATIENCE)


def word(number: int) -> str:
    """The model has letters, and no digits."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def lines(max_tokens: int = 60, count: int = LINES) -> bytes:
    body = {"model": "default", "max_tokens": max_tokens, "ignore_eos": True, "temperature": 0}
    written = [
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/completions", "body": body | {"prompt": word(number)}}
        for number in range(count)
    ]
    return "\n".join(map(json.dumps, written)).encode()


def submit(url: str, content: bytes):
    caller = client(url)
    file = caller.files.create(file=("lines.jsonl", content), purpose="batch")
    return caller.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")


def until(url: str, batch_id: str, condition):
    """The batch, once this is true of it."""
    ends = time.monotonic() + PATIENCE
    while True:
        batch = client(url).batches.retrieve(batch_id)
        if condition(batch):
            return batch
        assert time.monotonic() < ends, batch
        time.sleep(0.05)


def has_ended(batch) -> bool:
    return batch.status in ("completed", "failed", "expired", "cancelled")


def begun(batch) -> bool:
    return batch.request_counts is not None and batch.request_counts.completed > 0


def answered(url: str, batch) -> collections.Counter:
    """How often each line stands in the output."""
    text = client(url).files.content(batch.output_file_id).text if batch.output_file_id else ""
    return collections.Counter(json.loads(line)["custom_id"] for line in text.splitlines())


def is_whole(url: str, batch) -> None:
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", LINES, LINES, 0)
    assert answered(url, batch) == {f"line-{number}": 1 for number in range(LINES)}


def test_what_was_submitted_to_one_is_seen_read_and_cancelled_at_another(nodes):
    first, second, third = (node.url for node in nodes)
    batch = submit(first, lines(4))
    is_whole(third, until(second, batch.id, has_ended))
    endless = submit(first, lines(400))
    until(second, endless.id, begun)
    assert client(third).batches.cancel(endless.id).status in ("cancelling", "cancelled")
    ended = until(second, endless.id, has_ended)
    assert ended.status == "cancelled"
    output = answered(first, ended)
    assert len(output) == ended.request_counts.completed < LINES
    assert set(output.values()) == {1}
    for node in nodes:
        node.await_idle()


def test_a_server_dies_and_another_drains_and_each_line_is_answered_once(nodes):
    batch = submit(nodes[0].url, lines(200))
    last = nodes[2].url
    until(last, batch.id, begun)
    nodes[0].signal(signal.SIGKILL)
    nodes[0].wait()
    assert not has_ended(client(last).batches.retrieve(batch.id))
    nodes[1].signal(signal.SIGTERM)
    assert nodes[1].wait() == 0
    is_whole(last, until(last, batch.id, has_ended))


def test_without_its_database_a_server_answers_and_the_batch_goes_on_afterwards(nodes, cluster):
    batch = submit(nodes[0].url, lines())
    until(nodes[1].url, batch.id, begun)
    cluster.stop(signal.SIGQUIT)
    for node in nodes:
        online = httpx.post(node.url + "/v1/completions", json={"prompt": "a", "max_tokens": 2}, timeout=PATIENCE)
        assert online.status_code == 200
        gone = httpx.get(f"{node.url}/v1/batches/{batch.id}", timeout=PATIENCE)
        assert gone.status_code == 503 and int(gone.headers["retry-after"]) >= 1
        assert gone.json()["error"]["code"] == "store_unavailable"
        assert node.get("/health/ready").status_code == 200
    cluster.start()
    is_whole(nodes[2].url, until(nodes[2].url, batch.id, has_ended))


def test_files_and_batches_pass_through_nginx(nodes):
    nginx = Nginx(nodes)
    try:
        batch = submit(nginx.url, lines(4))
        is_whole(nginx.url, until(nginx.url, batch.id, has_ended))
        # A file of the size that nginx itself would refuse, if it were not told.
        large = client(nginx.url).files.create(file=("large.jsonl", b" " * (20 << 20)), purpose="batch")
        assert client(nginx.url).files.retrieve(large.id).bytes == 20 << 20
    finally:
        nginx.close()
