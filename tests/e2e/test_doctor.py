"""`parkade doctor` finds what is wrong and says what to do."""

import json
import shutil

import pytest

from process import PATIENCE, default_model, environment, parkade


def lines(done) -> dict[str, str]:
    """Subject to verdict."""
    rows = [line.split(maxsplit=1) for line in done.stdout.decode().splitlines() if line[:1].strip()]
    return {rest[:15].strip(): verdict for verdict, rest in rows}


def test_a_machine_in_order_passes_with_a_test_answer():
    done = parkade("doctor")
    report = done.stdout.decode()
    assert done.returncode == 0, report
    found = lines(done)
    assert set(found) == {"processor", "cores", "configuration", "data directory", "memory", "model", "answer"}
    assert found["model"] == found["answer"] == "ok"
    assert "checksum right" in report and "Paris" in report and "tok/s" in report


def test_a_missing_model_fails_with_the_remedy(tmp_path):
    done = parkade("doctor", env=environment(PARKADE_HOME=str(tmp_path)))
    assert done.returncode == 1
    assert lines(done)["model"] == "fail"
    assert "make setup" in done.stdout.decode()


def test_a_damaged_model_fails_by_its_checksum(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    path = models / default_model().name
    shutil.copy(default_model(), path)
    with open(path, "r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    done = parkade("doctor", env=environment(PARKADE_HOME=str(tmp_path)))
    assert done.returncode == 1
    assert "SHA-256" in done.stdout.decode()
    assert "make setup" in done.stdout.decode()


def test_a_model_that_is_none_fails(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    done = parkade("doctor", "--model", str(path))
    assert done.returncode == 1
    assert lines(done)["answer"] == "fail"


def test_too_many_threads_are_warned_of():
    done = parkade("doctor", "--threads", "64")
    assert lines(done)["cores"] == "warn"
    assert "--threads" in done.stdout.decode()


def test_a_forced_slow_kernel_is_warned_of():
    done = parkade("doctor", env=environment(PARKADE_CPU="scalar"), timeout=PATIENCE)
    assert lines(done)["processor"] == "warn"
    assert done.returncode == 0


def test_a_model_is_looked_at_without_being_run():
    done = parkade("doctor", "default", "--format", "json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["loads"] and report["problems"] == []
    assert report["architecture"] == "llama" and report["types"][0]["name"] == "Q4_1"
    # As in `parkade serve` and `parkade bench model`.
    assert 90 << 20 < report["needs"]["weight_bytes"] < 110 << 20
    assert report["needs"]["kv_bytes_per_token"] == 30 * 2 * 3 * 64 * 2
    speed = report["speed"]
    assert 10 < speed["decode_tokens_per_second"] < 10_000 and "bandwidth" in speed["formula"]


def test_a_model_that_would_not_load_says_why(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    done = parkade("doctor", str(path))
    assert done.returncode == 1 and "would not load" in done.stdout.decode()
    large = parkade("doctor", "default", "--kv-cache-mb", "16000000", "--ctx-size", "100000")
    assert large.returncode == 1
    assert "kv-cache-mb is 16000000" in large.stdout.decode() and "100000" in large.stdout.decode()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The file of a small model of a shape."""
    folder = tmp_path_factory.mktemp("models")

    def made(shape: str):
        path = folder / f"{shape}.gguf"
        if not path.exists():
            done = parkade("synth", "--shape", shape, str(path))
            assert done.returncode == 0, done.stderr.decode()
        return path

    return made


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("tiny-bert", "an embedding of 96 values"),
        ("tiny-qwen3-embedding", "an embedding of"),
        ("tiny-bert-rerank", "a score of"),
        ("tiny-qwen3-rerank", "a score of"),
    ],
)
def test_a_model_is_tried_with_what_it_has_learnt(tiny, shape, said):
    done = parkade("doctor", "--model", str(tiny(shape)))
    assert done.returncode == 0 and lines(done)["answer"] == "ok" and said in done.stdout.decode(), done.stdout.decode()


def test_the_model_beside_the_first_is_checked_as_well(tiny, tmp_path):
    done = parkade("doctor", "--embedding-model", str(tiny("tiny-bert")))
    report = done.stdout.decode()
    assert done.returncode == 0 and lines(done)["embedding model"] == "ok", report
    assert "Paris" in report and "an embedding of 96 values" in report
    for wrong, subject, said in [
        (str(tmp_path / "none.gguf"), "embedding model", "no model file at"),
        (str(tiny("tiny-qwen3")), "answer", "this one goes on with texts"),
        ("default", "answer", "of another name than the first model's"),
    ]:
        done = parkade("doctor", "--embedding-model", wrong)
        assert done.returncode == 1 and lines(done)[subject] == "fail" and said in done.stdout.decode(), done.stdout.decode()


@pytest.mark.parametrize("name", ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"])
def test_a_whole_model_is_one_file_whatever_it_is_called(tiny, tmp_path, name):
    path = tmp_path / name
    shutil.copy(tiny("tiny-qwen3"), path)
    done = parkade("doctor", str(path))
    assert done.returncode == 0 and name in done.stdout.decode() and "more" not in done.stdout.decode()
    assert json.loads(parkade("doctor", str(path), "--format", "json").stdout)["files"] == [str(path)]
    done = parkade("doctor", "--model", str(path))
    assert done.returncode == 0 and f"{name} (no checksum" in done.stdout.decode(), done.stdout.decode()


def test_the_machine_is_reported_to_programs_too():
    report = json.loads(parkade("doctor", "--format", "json").stdout)
    assert report["ok"] and {finding["subject"] for finding in report["findings"]} >= {"memory", "answer"}
    assert any(fits["alias"] == "smollm2:360m" for fits in report["fits"])


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_and_version_are_for_standard_output(command):
    done = parkade(command)
    assert done.returncode == 0 and done.stdout and not done.stderr
