"""`parkade batch`: files of requests, for a server and without one."""

import json
import os
import signal
import subprocess
import time

import pytest

from process import PATIENCE, binary, environment, parkade


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    done = parkade("synth", "--shape", "tiny-qwen2", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


def word(number: int) -> str:
    """The model has letters, and no digits."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def line(number: int, tokens: int = 3) -> str:
    body = {"prompt": word(number), "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    return json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": "/v1/completions", "body": body})


def read(path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def answers(path) -> dict[str, str]:
    """The text of each answer; each is there once."""
    written = read(path)
    found = {answer["custom_id"]: answer["response"]["body"]["choices"][0]["text"] for answer in written}
    assert len(found) == len(written)
    return found


def run(tiny, file, out, *more: str, **keywords):
    small = ["--threads", "1", "--kv-cache-mb", "16"]
    return parkade("batch", "run", str(file), "-o", str(out), "-m", str(tiny), *small, *more, **keywords)


def test_broken_lines_are_told_while_the_others_run_and_are_tried_again(tiny, tmp_path):
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    broken = ["no json", '{"custom_id": "x", "url": "/v1/embeddings", "body": {}}', line(1), '{"custom_id": "y"}']
    body = {"prompt": "a", "max_tokens": "many"}
    wrong = json.dumps({"custom_id": "wrong", "method": "POST", "url": "/v1/completions", "body": body})
    file.write_text("\n".join([line(1), *broken, wrong, line(2)]))
    done = run(tiny, file, out)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    for number in (2, 3, 4, 5, 6):
        assert f"line {number}: " in said, said
    assert "2 lines are answered, 5 have failed" in said
    assert set(answers(out)) == {"line-1", "line-2"}
    failures = read(tmp_path / "out.errors.jsonl")
    assert len(failures) == 5 and failures[-1]["response"]["status_code"] == 400
    before = out.read_bytes()
    file.write_text("\n".join([line(1), line(3), line(2)]))
    done = run(tiny, file, out)
    assert done.returncode == 0, done.stderr.decode()
    assert "2 lines are answered in" in done.stderr.decode()
    assert out.read_bytes().startswith(before) and set(answers(out)) == {"line-1", "line-2", "line-3"}
    assert not (tmp_path / "out.errors.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_goes_on_with_each_line_once(tiny, tmp_path, number):
    file, out, whole = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    file.write_text("\n".join(line(count, 40) for count in range(200)))
    assert run(tiny, file, whole).returncode == 0
    command = [str(binary()), "batch", "run", str(file), "-o", str(out), "-m", str(tiny), "--threads", "1"]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    ends = time.monotonic() + PATIENCE
    while not out.exists() or out.read_bytes().count(b"\n") < 5:
        assert time.monotonic() < ends and process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[1].decode()
    if number == signal.SIGINT:
        assert process.returncode == 130 and "Run the same command again to go on" in said, said
        # As if the disk had been full in the midst of a line.
        os.truncate(out, out.stat().st_size - 7)
    assert 0 < out.read_bytes().count(b"\n") < 200
    assert run(tiny, file, out).returncode == 0
    assert answers(out) == answers(whole)


def test_settings_come_from_where_all_others_do(tiny, tmp_path):
    file, config = tmp_path / "in.jsonl", tmp_path / "config.toml"
    file.write_text(line(1))
    for place, env, more in [
        ("a", environment(PARKADE_MODEL=str(tiny)), []),
        ("b", environment(), ["--config", str(config)]),
    ]:
        config.write_text(f'[batch]\nmodel = "{tiny}"\nthreads = 1\n')
        out = tmp_path / f"{place}.jsonl"
        done = parkade("batch", "run", str(file), "-o", str(out), *more, env=env)
        assert done.returncode == 0, done.stderr.decode()
        assert len(answers(out)) == 1
    config.write_text("[batch]\nthreads = 0\n")
    done = parkade("batch", "run", str(file), "-o", str(tmp_path / "c.jsonl"), "--config", str(config))
    assert done.returncode == 2 and b"batch.threads" in done.stderr


def test_what_cannot_be_run_is_said_and_nothing_is_touched(tiny, tmp_path):
    file, notes = tmp_path / "in.jsonl", tmp_path / "notes.txt"
    file.write_text(line(1))
    notes.write_text("mine\n")
    for arguments, code, said in [
        ([str(file), "-o", str(notes)], 1, "this is no answer of a batch"),
        ([str(file), "-o", str(file)], 2, "a file of its own"),
        ([str(notes), "-o", str(tmp_path / "x")], 2, "give --endpoint"),
        ([str(file), "-o", str(tmp_path / "x"), "--endpoint", "/v1/models"], 2, "is not one of"),
        ([str(file), "-o", str(tmp_path / "x"), "--endpoint", "/v1/embeddings"], 1, "line 1: "),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "x")], 1, "No such file"),
    ]:
        done = parkade("batch", "run", *arguments, "-m", str(tiny))
        assert done.returncode == code and said in done.stderr.decode(), (arguments, done)
    assert notes.read_text() == "mine\n" and file.read_text() == line(1)


def test_a_file_goes_to_a_server_and_its_answers_come_back(start, tiny, tmp_path):
    settings = ["--model", str(tiny), "--threads", "1", "--kv-cache-mb", "16", "--max-seqs", "4"]
    server = start(*settings, "--store", str(tmp_path / "parkade.db"), "--api-key", "sk-ada")
    env = environment(PARKADE_URL=server.url + "/v1", OPENAI_API_KEY="sk-ada")
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("\n".join([line(1), "broken", line(2)]))

    def batch(*arguments: str, code: int = 0) -> str:
        done = parkade("batch", *arguments, env=env)
        assert done.returncode == code, (arguments, done)
        return done.stdout.decode() if code in (0, 1) and done.stdout else done.stderr.decode()

    sent = parkade("batch", "submit", str(file), "--wait", "--metadata", "who=me", env=env)
    assert sent.returncode == 1 and "1 have failed" in sent.stderr.decode(), sent
    id = sent.stdout.decode().strip()
    assert f"{id} is completed: 2 of 3 requests are answered, 1 have failed" in batch("status", id)
    assert json.loads(batch("status", id, "--json"))["metadata"] == {"who": "me"}
    batch("results", id, "-o", str(out))
    assert set(answers(out)) == {"line-1", "line-2"}
    assert batch("results", id) == out.read_text()
    assert json.loads(batch("results", id, "--errors"))["error"]["line"] == 2
    assert batch("list").split()[:2] == [id, "completed"]
    assert batch("cancel", id).startswith(f"{id} is completed")

    file.write_text("\n".join(line(count, 200) for count in range(500)))
    second = batch("submit", str(file), "--window", "1h").strip()
    assert "is cancel" in batch("cancel", second)
    listed = [text.split()[0] for text in batch("list").splitlines()]
    assert listed == [second, id] and [text.split()[0] for text in batch("list", "--limit", "1").splitlines()] == [second]

    assert "404" in batch("status", "batch_nowhere", code=1)
    assert "is no id" in batch("status", "../files", code=2)
    assert "401" in parkade("batch", "list", "--url", server.url, "--api-key", "wrong", env=environment()).stderr.decode()
    nowhere = parkade("batch", "list", "--url", "http://127.0.0.1:9", env=environment())
    assert nowhere.returncode == 1 and "is it running?" in nowhere.stderr.decode()
