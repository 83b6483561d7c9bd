"""Files and batches, with the official client: each line has one answer, whatever happens to the server."""

import collections
import json
import os
import random
import signal
import time

import httpx
import openai
import pytest

from process import PATIENCE, environment, parkade


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    done = parkade("synth", "--shape", "tiny-qwen2", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture
def serve(start, tiny, tmp_path):
    """Starts a server on the test's own store; again after the last one has ended."""

    def serving(*arguments, **keywords):
        settings = ["--model", str(tiny), "--threads", "1", "--kv-cache-mb", "16", "--max-seqs", "4"]
        settings += ["--chat-template", "chatml"]
        return start(*settings, "--store", str(tmp_path / "parkade.db"), *arguments, **keywords)

    return serving


def client(server, key="unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=PATIENCE)


def word(number: int) -> str:
    """The model has letters, and no digits."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def line(number: int, endpoint: str = "/v1/completions", **body) -> str:
    usual = {"model": "default", "prompt": word(number), "max_tokens": 3, "temperature": 0, "ignore_eos": True}
    return json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": endpoint, "body": body or usual})


def submit(caller: openai.OpenAI, lines: list[str], endpoint: str = "/v1/completions", **more):
    file = caller.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch")
    return caller.batches.create(**{"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"} | more)


def until(caller: openai.OpenAI, batch_id: str, condition):
    ends = time.monotonic() + PATIENCE
    while True:
        batch = caller.batches.retrieve(batch_id)
        if condition(batch):
            return batch
        assert time.monotonic() < ends, batch
        time.sleep(0.05)


def has_ended(batch) -> bool:
    return batch.status in ("completed", "failed", "expired", "cancelled")


def read(caller: openai.OpenAI, file_id: str | None) -> list[dict]:
    text = caller.files.content(file_id).text if file_id else ""
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_is_kept_as_it_was_sent(serve):
    caller = client(serve())
    content = bytes(range(256)) * 20_000
    file = caller.files.create(file=("odd name é.bin", content), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "odd name é.bin", "user_data", "processed")
    assert caller.files.content(file.id).read() == content
    assert [found.id for found in caller.files.list(purpose="user_data")] == [file.id]
    assert caller.files.list(purpose="batch").data == []
    assert caller.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        caller.files.retrieve(file.id)


def test_a_batch_answers_each_line_as_its_path_does(serve):
    server = serve()
    caller = client(server)
    bodies = {
        "/v1/completions": {"model": "default", "prompt": "ab", "max_tokens": 4, "temperature": 0},
        "/v1/chat/completions": {"model": "default", "messages": [{"role": "user", "content": "ab"}], "max_tokens": 4, "seed": 7},
        "/v1/responses": {"model": "default", "input": "ab", "max_output_tokens": 4, "temperature": 0},
    }
    for endpoint, body in bodies.items():
        batch = submit(caller, [line(1, endpoint, **body)], endpoint, metadata={"for": "tests"})
        assert (batch.object, batch.endpoint, batch.metadata) == ("batch", endpoint, {"for": "tests"})
        ended = until(caller, batch.id, has_ended)
        assert (ended.status, ended.error_file_id) == ("completed", None), ended
        (answer,) = read(caller, ended.output_file_id)
        assert (answer["custom_id"], answer["error"], answer["response"]["status_code"]) == ("line-1", None, 200)
        online = httpx.post(server.url + endpoint, json=body, timeout=PATIENCE).json()
        offline = answer["response"]["body"]
        if "choices" in online:
            assert offline["choices"] == online["choices"]
        if endpoint == "/v1/responses":
            assert offline["output"][-1]["content"] == online["output"][-1]["content"]
        # Nobody waits for it.
        assert offline.get("service_tier") in (None, "flex")


def test_broken_lines_are_told_and_the_others_run(serve):
    caller = client(serve())
    wrong_type = line(4, model="default", prompt="a", max_tokens="many")
    lines = [line(1), "broken", line(1), line(2, "/v1/embeddings"), line(3), "", wrong_type]
    ended = until(caller, submit(caller, lines).id, has_ended)
    assert ended.status == "completed"
    assert [(fault.line, fault.code) for fault in ended.errors.data] == [
        (2, "invalid_json"), (3, "duplicate_custom_id"), (4, "invalid_url"),
    ]
    counts = ended.request_counts
    assert (counts.total, counts.completed, counts.failed) == (6, 2, 4)
    assert [answer["custom_id"] for answer in read(caller, ended.output_file_id)] == ["line-1", "line-3"]
    failures = read(caller, ended.error_file_id)
    assert [failure["error"] and failure["error"]["line"] for failure in failures] == [2, 3, 4, None]
    assert failures[-1]["response"]["status_code"] == 400
    assert failures[-1]["response"]["body"]["error"]["param"] == "max_tokens"


def test_a_file_without_lines_fails(serve):
    caller = client(serve())
    ended = until(caller, submit(caller, ["", " "]).id, has_ended)
    assert (ended.status, ended.errors.data[0].code) == ("failed", "empty_file")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"extra_body": {"colour": "red"}}, "colour"),
        ({"extra_body": {"output_expires_after": {"anchor": "created_at", "seconds": 1}}}, "output_expires_after.seconds"),
    ],
)
def test_a_bad_field_is_named(serve, change, param):
    caller = client(serve())
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        submit(caller, [line(1)], **change)
    assert refused.value.body["param"] == param


def test_a_form_that_is_none_is_refused(serve):
    server = serve()
    post = lambda **what: httpx.post(server.url + "/v1/files", timeout=PATIENCE, **what)  # noqa: E731
    for sent, code in [
        ({"json": {}}, "invalid_value"),
        ({"files": {"file": b"x"}}, "missing_required_parameter"),
        ({"files": {"file": b"x"}, "data": {"purpose": "fun"}}, "invalid_value"),
        ({"files": {"other": b"x"}, "data": {"purpose": "batch"}}, "invalid_value"),
        ({"content": b"--b\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=b"}}, "invalid_value"),
    ]:
        answer = post(**sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert httpx.get(server.url + "/v1/files", timeout=PATIENCE).json()["data"] == []


def test_others_do_not_see_what_belongs_to_a_key(serve, tmp_path):
    server = serve("--api-key", "ada", "--api-key", "bob")
    ada, bob = client(server, "ada"), client(server, "bob")
    batch = submit(ada, [line(1)])
    for ask in (
        lambda: bob.batches.retrieve(batch.id),
        lambda: bob.batches.cancel(batch.id),
        lambda: bob.files.content(batch.input_file_id),
        lambda: bob.files.delete(batch.input_file_id),
        lambda: submit(bob, [line(1)], input_file_id=batch.input_file_id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert bob.batches.list().data == []
    ended = until(ada, batch.id, has_ended)
    assert ended.status == "completed"
    assert [found.id for found in ada.batches.list()] == [batch.id]


def test_a_cancelled_batch_writes_what_it_has(serve):
    caller = client(serve())
    long = [line(number, model="default", prompt="a", max_tokens=400, ignore_eos=True) for number in range(400)]
    batch = submit(caller, long)
    until(caller, batch.id, lambda batch: batch.request_counts.completed > 0)
    with pytest.raises(openai.ConflictError):
        caller.files.delete(batch.input_file_id)
    assert caller.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = until(caller, batch.id, has_ended)
    assert ended.status == "cancelled"
    answers, failures = read(caller, ended.output_file_id), read(caller, ended.error_file_id)
    assert len(answers) == ended.request_counts.completed < 400
    assert {failure["error"]["code"] for failure in failures} == {"batch_cancelled"}
    assert sorted(entry["custom_id"] for entry in answers + failures) == sorted(f"line-{number}" for number in range(400))
    assert caller.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_expires(serve):
    caller = client(serve())
    long = [line(number, model="default", prompt="a", max_tokens=400, ignore_eos=True) for number in range(2000)]
    ended = until(caller, submit(caller, long, completion_window="2s").id, has_ended)
    assert ended.status == "expired"
    assert {failure["error"]["code"] for failure in read(caller, ended.error_file_id)} == {"batch_expired"}


# The full measure is `PARKADE_KILLS=1000 PARKADE_KILLED_LINES=5000`.
KILLS = int(os.environ.get("PARKADE_KILLS", "6"))
KILLED_LINES = int(os.environ.get("PARKADE_KILLED_LINES", "300"))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_server_is_killed_again_and_again_and_each_line_is_answered_once(serve, request, kind):
    place = ["--store", request.getfixturevalue("database"), "--lease-seconds", "1"] if kind == "postgres" else []
    chance = random.Random(13)
    server = serve(*place)
    body = {"model": "default", "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    lines = [line(number, **body, prompt=word(number)) for number in range(KILLED_LINES)]
    batch = submit(client(server), lines)
    kills = 0
    while kills < KILLS:
        time.sleep(chance.uniform(0, 0.6))
        if has_ended(client(server).batches.retrieve(batch.id)):
            break
        server.signal(signal.SIGKILL)
        server.wait()
        kills += 1
        server.close()
        server = serve(*place)
    ended = until(client(server), batch.id, has_ended)
    counts = ended.request_counts
    print(f"killed {kills} times")
    assert (ended.status, counts.total, counts.completed, counts.failed) == ("completed", KILLED_LINES, KILLED_LINES, 0)
    answers = collections.Counter(answer["custom_id"] for answer in read(client(server), ended.output_file_id))
    assert answers == {f"line-{number}": 1 for number in range(KILLED_LINES)}
    # Whoever opens the store next finds nothing in it that belongs to nothing.
    server.signal(signal.SIGTERM)
    server.wait()
    log = server.log
    again = serve(*place)
    assert has_ended(client(again).batches.retrieve(batch.id))
    assert "what was old is forgotten" not in log + again.log


def test_a_drain_gives_back_what_runs(serve):
    server = serve()
    long = [line(number, model="default", prompt="a", max_tokens=300, ignore_eos=True) for number in range(60)]
    batch = submit(client(server), long)
    until(client(server), batch.id, lambda batch: batch.request_counts.completed > 0)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    ended = until(client(serve()), batch.id, has_ended)
    assert (ended.status, ended.request_counts.completed) == ("completed", 60)


def test_no_file_is_made_before_there_is_work(serve, tmp_path):
    server = serve()
    caller = client(server)
    caller.completions.create(model="default", prompt="a", max_tokens=2)
    assert caller.files.list().data == [] and caller.batches.list().data == []
    with pytest.raises(openai.NotFoundError):
        caller.batches.retrieve("batch_none")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_store_batches_are_refused(start, tiny):
    server = start("--model", str(tiny), "--threads", "1", "--store", "none")
    with pytest.raises(openai.APIStatusError) as refused:
        client(server).files.create(file=("a", b"x"), purpose="batch")
    assert (refused.value.status_code, refused.value.code) == (501, "no_store")


def test_a_store_that_is_used_by_another_server_is_told_so(serve):
    first = serve()
    client(first).files.create(file=("a", b"x"), purpose="batch")
    second = serve(env=environment())
    answer = httpx.post(second.url + "/v1/files", files={"file": b"x"}, data={"purpose": "batch"}, timeout=PATIENCE)
    assert answer.status_code == 503 and "another process" in answer.json()["error"]["message"]
    online = httpx.post(second.url + "/v1/completions", json={"prompt": "a", "max_tokens": 2}, timeout=PATIENCE)
    assert online.status_code == 200
