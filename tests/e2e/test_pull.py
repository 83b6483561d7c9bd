"""`parkade pull` against a hub on this machine."""

import hashlib
import os
import random
import signal
import subprocess
import time

import pytest

from fake_hub import SIGNATURE, FakeHub
from process import PATIENCE, binary, default_model, environment, parkade

REPO = "someone/Some-Model-GGUF"
FILE = "some-model-Q4_K_M.gguf"
SIZE = 3_000_000
DATA = random.Random(1).randbytes(SIZE)


@pytest.fixture
def hub():
    hub = FakeHub(REPO, {FILE: DATA, "some-model-Q8_0.gguf": DATA[:1000], "README.md": b"# Read me"})
    yield hub
    hub.close()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def variables(hub, home, **extra):
    return environment(PARKADE_HOME=str(home), HF_ENDPOINT=hub.url, HF_HOME=str(home / "no-login"), NO_PROXY="*", **extra)


def pull(hub, home, model=f"{REPO}:{FILE}", **extra):
    return parkade("pull", model, env=variables(hub, home, **extra), timeout=PATIENCE)


def installed(home):
    return home / "models" / REPO / FILE


def parts(home):
    return list(home.rglob("*.part"))


def test_a_file_is_fetched_checked_and_found_by_its_name(hub, home):
    done = pull(hub, home)
    assert done.returncode == 0, done.stderr.decode()
    assert installed(home).read_bytes() == DATA
    assert str(installed(home)) in done.stdout.decode()
    assert parts(home) == []
    note = installed(home).with_name(FILE + ".sha256").read_text()
    assert note == f"{hashlib.sha256(DATA).hexdigest()}  {FILE}\n"
    # The other commands know it by the same name: it is no GGUF, and they say so of this very file.
    serve = parkade("serve", "--port", "0", "--model", f"{REPO}:{FILE}", env=variables(hub, home))
    assert serve.returncode == 1 and str(installed(home)) in serve.stderr.decode()


def test_nothing_is_fetched_twice(hub, home):
    assert pull(hub, home).returncode == 0
    reads = len(hub.reads())
    again = pull(hub, home)
    assert again.returncode == 0 and "already here" in again.stdout.decode()
    assert len(hub.reads()) == reads


def test_a_quantisation_or_nothing_at_all_is_enough_of_a_name(hub, home):
    assert pull(hub, home, f"{REPO}:q4_k_m").returncode == 0
    assert installed(home).exists()
    installed(home).unlink()
    assert pull(hub, home, REPO).returncode == 0
    assert installed(home).exists()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, home):
    hub.break_after = [1_000_000, 500_000]
    done = pull(hub, home)
    assert done.returncode == 0, done.stderr.decode()
    assert installed(home).read_bytes() == DATA
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in hub.reads()]
    assert starts[0] == 0 and len(starts) == 3
    assert 0 < starts[1] <= 1_000_000 and starts[1] < starts[2] <= 1_500_000


def test_a_killed_pull_is_resumed_by_the_next_one(hub, home):
    hub.break_after = [1_000_000] + [0] * 100
    process = subprocess.Popen([binary(), "pull", f"{REPO}:{FILE}"], env=variables(hub, home), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not (parts(home) and parts(home)[0].stat().st_size > 500_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not installed(home).exists()
    kept = parts(home)[0].stat().st_size
    hub.break_after = []
    hub.requests.clear()
    done = pull(hub, home)
    assert done.returncode == 0, done.stderr.decode()
    assert "resumed at" in done.stdout.decode()
    assert hub.reads() == [f"bytes={kept}-"]
    assert installed(home).read_bytes() == DATA


def test_a_connection_that_stays_broken_ends_with_what_came_kept(hub, home):
    hub.break_after = [700_000] + [0] * 100
    done = pull(hub, home)
    message = done.stderr.decode()
    assert done.returncode == 1 and "run the same command again" in message
    assert not installed(home).exists()
    assert 0 < parts(home)[0].stat().st_size <= 700_000


def test_a_hub_without_ranges_starts_over_and_still_gets_it_right(hub, home):
    hub.ignores_ranges = True
    hub.break_after = [1_000_000]
    done = pull(hub, home)
    assert done.returncode == 0, done.stderr.decode()
    assert installed(home).read_bytes() == DATA


def test_a_wrong_checksum_is_refused_and_nothing_is_installed(hub, home):
    hub.sha256[FILE] = "0" * 64
    done = pull(hub, home)
    message = done.stderr.decode()
    assert done.returncode == 1 and "wrong checksum" in message
    assert hashlib.sha256(DATA).hexdigest() in message
    assert not installed(home).exists() and parts(home) == []


def test_damage_in_a_kept_part_is_found_by_the_checksum(hub, home):
    hub.break_after = [1_000_000] + [0] * 100
    assert pull(hub, home).returncode == 1
    with open(parts(home)[0], "r+b") as part:
        part.write(b"damage")
    hub.break_after = []
    assert "wrong checksum" in pull(hub, home).stderr.decode()
    assert not installed(home).exists()
    # The next one starts afresh.
    assert pull(hub, home).returncode == 0
    assert installed(home).read_bytes() == DATA


def test_a_new_version_on_the_hub_replaces_the_old_file(hub, home):
    assert pull(hub, home).returncode == 0
    newer = DATA[::-1]
    hub.files[FILE] = newer
    hub.sha256[FILE] = hashlib.sha256(newer).hexdigest()
    assert pull(hub, home).returncode == 0
    assert installed(home).read_bytes() == newer


def test_a_file_without_sha256_is_taken_with_a_warning(hub, home):
    hub.small_files = True
    done = pull(hub, home)
    assert done.returncode == 0, done.stderr.decode()
    assert "only its size can be checked" in done.stderr.decode()
    assert installed(home).read_bytes() == DATA


def test_the_token_goes_to_the_hub_and_never_to_the_storage(hub, home):
    hub.token = "secret"
    done = pull(hub, home, HF_TOKEN="secret")
    assert done.returncode == 0, done.stderr.decode()
    storage = [authorization for path, _, authorization in hub.requests if path.startswith("/blob/")]
    assert storage and set(storage) == {None}
    assert "secret" not in (done.stdout + done.stderr).decode()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda hub: setattr(hub, "status", 404), ["not found"]),
        (lambda hub: setattr(hub, "status", 401), ["HF_TOKEN", "401"]),
        (lambda hub: setattr(hub, "status", 403), ["HF_TOKEN", "403"]),
        (lambda hub: setattr(hub, "status", 500), ["500", "again later"]),
        (lambda hub: hub.close(), ["HF_ENDPOINT"]),
    ],
    ids=["404", "401", "403", "500", "unreachable"],
)
def test_a_hub_that_refuses_is_quoted_with_the_remedy(hub, home, prepare, words):
    prepare(hub)
    done = pull(hub, home)
    message = done.stderr.decode()
    assert done.returncode == 1 and message.count("\n") == 1
    for word in words:
        assert word in message
    assert not installed(home).exists()


def test_a_wrong_token_is_named_as_the_likely_fault(hub, home):
    hub.token = "secret"
    assert "HF_TOKEN was sent" in pull(hub, home, HF_TOKEN="other").stderr.decode()


def test_a_file_that_the_repository_lacks_is_answered_with_those_that_it_has(hub, home):
    message = pull(hub, home, f"{REPO}:Q2_K").stderr.decode()
    assert "Q2_K" in message and FILE in message and "README" not in message


def test_a_full_disk_is_said_and_the_place_named(hub, home):
    part = installed(home).with_name(f"{FILE}.{hub.sha256[FILE][:12]}.part")
    part.parent.mkdir(parents=True)
    # Every write to it fails as on a full disk.
    part.symlink_to("/dev/full")
    message = pull(hub, home).stderr.decode()
    assert "the disk is full" in message and "PARKADE_HOME" in message
    assert not installed(home).exists()


def test_a_data_directory_that_cannot_be_written_is_said(hub, home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the directory should be")
    done = pull(hub, home / "below", )
    assert done.returncode == 1
    assert "cannot write" in done.stderr.decode() and "PARKADE_HOME" in done.stderr.decode()


def test_two_pulls_of_one_file_do_not_mix(hub, home):
    hub.break_after = [1_000_000] + [0] * 100
    first = subprocess.Popen([binary(), "pull", f"{REPO}:{FILE}"], env=variables(hub, home), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not parts(home):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = pull(hub, home)
        assert second.returncode == 1 and "another process" in second.stderr.decode()
    finally:
        first.kill()
        first.wait()


def test_names_that_would_leave_the_data_directory_are_refused(hub, home):
    for name in ("../../etc/passwd", f"{REPO}:../../x.gguf", f"{REPO}:/etc/x.gguf", "justaname"):
        done = pull(hub, home, name)
        assert done.returncode == 1 and "pull --list" in done.stderr.decode()
    assert hub.requests == []


HOSTILE = [
    "/abs/x-Q8_0.gguf",
    "../../x-Q8_0.gguf",
    "a/../../../x-Q8_0.gguf",
    "..\\..\\x-Q8_0.gguf",
    "C:\\x-Q8_0.gguf",
    "x\0-Q8_0.gguf",
    "\x1b[2Jx-Q8_0.gguf",
    "-x-Q8_0.gguf",
    ".x-Q8_0.gguf",
    "x" * 300 + "-Q8_0.gguf",
    "x/" * 50 + "x-Q8_0.gguf",
    "x\u202e-Q8_0.gguf",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:24])
def test_a_name_that_leads_out_of_the_models_is_not_taken_from_a_hub(hub, home, name):
    hub.files = {name: DATA}
    hub.sha256 = {name: hashlib.sha256(DATA).hexdigest()}
    for model in (REPO, f"{REPO}:Q8_0"):
        done = pull(hub, home, model)
        message = done.stderr.decode()
        assert done.returncode == 1 and "names that are not taken" in message, message
        assert message.count("\n") == 1 and message[:-1].isprintable(), message
    # Nothing was asked for but the list, and nothing is here.
    assert all(path.startswith("/api/") for path, _, _ in hub.requests)
    assert [path for path in home.parent.rglob("*") if path.is_file()] == []


def test_names_that_are_not_taken_do_not_keep_from_the_others(hub, home):
    hub.listing = [*HOSTILE, FILE]
    assert pull(hub, home, REPO).returncode == 0
    assert installed(home).read_bytes() == DATA


def test_a_file_in_a_folder_of_its_repository_lies_in_that_folder(hub, home):
    hub.files = {"Q8_0/a b-Q8_0.gguf": DATA}
    hub.sha256 = {"Q8_0/a b-Q8_0.gguf": hashlib.sha256(DATA).hexdigest()}
    hub.files["Q8_0/a%20b-Q8_0.gguf"], hub.sha256["Q8_0/a%20b-Q8_0.gguf"] = DATA, hashlib.sha256(DATA).hexdigest()
    hub.listing = ["Q8_0/a b-Q8_0.gguf"]
    done = pull(hub, home, REPO)
    assert done.returncode == 0, done.stderr.decode()
    assert (home / "models" / REPO / "Q8_0" / "a b-Q8_0.gguf").read_bytes() == DATA


def test_a_link_that_leads_out_of_the_models_is_not_followed(hub, home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    owner = installed(home).parents[1]
    owner.parent.mkdir(parents=True)
    owner.symlink_to(elsewhere)
    done = pull(hub, home)
    message = done.stderr.decode()
    assert done.returncode == 1 and "outside of the models directory" in message and str(elsewhere) in message
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_token_goes_to_no_other_host_or_port_whatever_is_redirected(hub, home, host):
    hub.token = "secret"
    hub.storage_host = host
    hub.has_moved = True
    for model in (REPO, f"{REPO}:{FILE}"):
        done = pull(hub, home, model, HF_TOKEN="secret")
        assert done.returncode == 0, done.stderr.decode()
        installed(home).unlink()
    assert {authorization for path, _, authorization in hub.requests if (path, authorization) not in hub.at_storage} == {"Bearer secret"}
    assert len(hub.at_storage) >= 4 and {authorization for _, authorization in hub.at_storage} == {None}


def test_a_login_to_hugging_face_is_for_their_hub_alone(hub, home):
    login = home / "no-login"
    login.mkdir(parents=True)
    (login / "token").write_text("secret")
    assert pull(hub, home).returncode == 0
    assert {authorization for _, _, authorization in hub.requests} == {None}


def test_no_message_shows_a_signature_or_a_token(hub, home):
    hub.storage_status = 403
    refused = pull(hub, home, HF_TOKEN="secret-token")
    hub.storage_status = None
    hub.sha256[FILE] = "0" * 64
    damaged = pull(hub, home, HF_TOKEN="secret-token")
    hub.storage.shutdown()
    hub.storage.server_close()
    gone = pull(hub, home, HF_TOKEN="secret-token")
    for done in (refused, damaged, gone):
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == 1
        assert SIGNATURE not in said and "secret-token" not in said, said


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "http://user:pass-word@127.0.0.1:1", "http://127.0.0.1:1/?a=pass-word", "http://"])
def test_a_hub_that_is_no_address_is_refused_by_the_variables_name(hub, home, endpoint):
    message = parkade("pull", REPO, env=variables(hub, home) | {"HF_ENDPOINT": endpoint}).stderr.decode()
    assert "HF_ENDPOINT" in message and "pass-word" not in message and message.count("\n") == 1


def test_a_list_without_end_is_refused(hub, home):
    hub.endless_listing = True
    done = pull(hub, home, REPO)
    assert done.returncode == 1 and "longer than 16 MiB" in done.stderr.decode()


@pytest.mark.parametrize("length", [0, 1, SIZE - 1, SIZE + 1])
def test_a_length_that_is_not_the_files_is_refused(hub, home, length):
    hub.announced = length
    done = pull(hub, home)
    assert done.returncode == 1, done.stdout.decode()
    assert not installed(home).exists()


def test_a_file_that_the_disk_cannot_hold_is_refused_before_a_byte_is_fetched(hub, home):
    hub.announced = 1 << 60
    done = pull(hub, home)
    message = done.stderr.decode()
    assert done.returncode == 1 and "PARKADE_HOME" in message and "free" in message
    assert hub.reads() == []


def test_a_server_that_sends_a_byte_at_a_time_is_given_up(hub, home):
    hub.break_after = [1] * 1000
    done = pull(hub, home)
    assert done.returncode == 1 and "run the same command again" in done.stderr.decode()
    assert len(hub.reads()) < 10


SPLIT = [f"Q8_0/some-model-Q8_0-0000{part}-of-00003.gguf" for part in (1, 2, 3)]


@pytest.mark.parametrize("name", ["", ":q8_0", f":{SPLIT[1]}"])
def test_all_parts_of_a_split_model_are_fetched(home, name):
    hub = FakeHub(REPO, {part: DATA[: 1000 + at] for at, part in enumerate(SPLIT)})
    try:
        done = pull(hub, home, REPO + name)
        assert done.returncode == 0, done.stderr.decode()
        for at, part in enumerate(SPLIT):
            assert (home / "models" / REPO / part).read_bytes() == DATA[: 1000 + at]
            assert part in done.stdout.decode()
        # It is found by its first part.
        serve = parkade("serve", "--port", "0", "--model", f"{REPO}:q8_0", env=variables(hub, home))
        assert serve.returncode == 1 and SPLIT[0] in serve.stderr.decode()
        # A part that is gone is fetched again, and the model is not here meanwhile.
        (home / "models" / REPO / SPLIT[2]).unlink()
        serve = parkade("serve", "--port", "0", "--model", f"{REPO}:q8_0", env=variables(hub, home))
        assert "parkade pull" in serve.stderr.decode()
        assert pull(hub, home, REPO + name).returncode == 0
        assert (home / "models" / REPO / SPLIT[2]).exists()
    finally:
        hub.close()


def test_a_split_model_of_which_the_hub_lacks_a_part_is_not_begun(home):
    hub = FakeHub(REPO, {part: DATA[:1000] for part in SPLIT[:2]})
    try:
        done = pull(hub, home, REPO)
        assert done.returncode == 1 and "parts are missing" in done.stderr.decode()
        named = pull(hub, home, f"{REPO}:{SPLIT[0]}")
        assert named.returncode == 1 and "-00003-of-00003.gguf" in named.stderr.decode()
        assert not (home / "models" / REPO).exists()
    finally:
        hub.close()


ALIAS, ALIAS_REPO = "qwen3:4b", "unsloth/Qwen3-4B-GGUF"


def test_an_alias_takes_the_best_quantisation_that_fits_the_memory(home):
    hub = FakeHub(ALIAS_REPO, {f"Qwen3-4B-{quant}.gguf": DATA[:1000] for quant in ("Q8_0", "Q4_K_M", "Q3_K_M")})
    folder = home / "models" / ALIAS_REPO
    try:
        done = pull(hub, home, ALIAS)
        assert done.returncode == 0, done.stderr.decode()
        assert [file.name for file in folder.glob("*.gguf")] == ["Qwen3-4B-Q4_K_M.gguf"]
        assert "takes about" in done.stderr.decode() and "--quant" in done.stderr.decode()
        for name, quant in [(f"{ALIAS}-q8_0", None), (ALIAS, "Q3_K_M")]:
            words = ["pull", name] + (["--quant", quant] if quant else [])
            assert parkade(*words, env=variables(hub, home), timeout=PATIENCE).returncode == 0
        assert len(list(folder.glob("*.gguf"))) == 3
    finally:
        hub.close()


def test_an_alias_of_which_nothing_fits_is_refused_with_the_sizes(home):
    hub = FakeHub(ALIAS_REPO, {"Qwen3-4B-Q4_K_M.gguf": DATA[:1000]})
    hub.announced = 1 << 50
    try:
        done = pull(hub, home, ALIAS)
        message = done.stderr.decode()
        assert done.returncode == 1 and "no quantisation of qwen3:4b fits" in message and "PiB" in message
    finally:
        hub.close()


def test_the_list_names_the_aliases_and_what_is_here():
    listed = parkade("pull", "--list").stdout.decode()
    row = next(line for line in listed.splitlines() if line.startswith("smollm2-135m"))
    assert default_model().exists() and "here" in row
    assert "llama-3.2-1b" in listed


def test_the_default_model_needs_no_hub(hub, home):
    done = parkade("pull", "default", env=environment(HF_ENDPOINT=hub.url))
    assert done.returncode == 0 and "already here" in done.stdout.decode()
    missing = pull(hub, home, "default")
    assert missing.returncode == 1 and "make setup" in missing.stderr.decode()
    assert hub.requests == []
    assert os.listdir(home.parent) == [] or not home.exists()
