"""Flags over environment over configuration file over defaults."""

import re
import tomllib

import pytest

from process import ROOT, environment, parkade


def effective(*arguments, env=None) -> dict:
    done = parkade("serve", "--print-config", *arguments, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return tomllib.loads(done.stdout.decode())


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return str(path)

    return write


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(config):
    file = config("port = 2001\nmax-seqs = 7\nhost = '0.0.0.0'\n")
    env = environment(PARKADE_PORT="2002", PARKADE_MAX_SEQS="8")
    defaults = effective()
    assert (defaults["port"], defaults["host"]) == (1234, "127.0.0.1")
    assert effective("--config", file)["port"] == 2001
    got = effective("--config", file, "--port", "2003", env=env)
    assert (got["port"], got["max-seqs"], got["host"]) == (2003, 8, "0.0.0.0")
    assert got["max-batched-tokens"] == defaults["max-batched-tokens"]


def test_the_file_is_found_in_the_configuration_directory_and_by_its_variable(config, tmp_path):
    file = config("port = 2004\n")
    assert effective(env=environment(PARKADE_CONFIG=file))["port"] == 2004
    home = tmp_path / "home" / "parkade"
    home.mkdir(parents=True)
    (home / "config.toml").write_text("port = 2005\n")
    assert effective(env=environment(XDG_CONFIG_HOME=str(home.parent)))["port"] == 2005


def test_a_commands_own_section_wins_over_the_top(config):
    got = effective("--config", config("threads = 1\nport = 2006\n[serve]\nport = 2007\n[run]\ntemperature = 0.5\n"))
    assert (got["port"], got["threads"]) == (2007, 1)


def test_what_is_printed_is_a_file_that_gives_the_same(config):
    printed = parkade("serve", "--print-config", "--port", "2008", "--max-queue-depth", "3", "--cors-origins", "https://a.example").stdout.decode()
    assert effective("--config", config(printed)) == tomllib.loads(printed)


LOT = """
[parking-lot]
class-weights = { high = 20 }
waiting-percent = { low = 50 }
token-prices = { answer = 3 }
preempt = false
rate-memory = 60
[parking-lot.tenant]
max-running = 4
[parking-lot.tenants.ada]
weight = 4
tokens-per-minute = 9
"""


def test_the_weights_and_limits_in_force_are_printed_too(config):
    defaults, got = effective()["parking-lot"], effective("--config", config(LOT))["parking-lot"]
    assert got["class-weights"] == defaults["class-weights"] | {"high": 20}
    assert got["waiting-percent"] == defaults["waiting-percent"] | {"low": 50}
    assert got["token-prices"] == defaults["token-prices"] | {"answer": 3}
    assert (defaults["preempt"], got["preempt"]) == (True, False)
    assert (defaults["rate-memory"], got["rate-memory"]) == (10, 60)
    assert got["tenant"] == {"weight": 1, "max-running": 4}
    assert got["tenants"] == {"ada": {"weight": 4, "tokens-per-minute": 9}}
    assert got["max-bypass"] == defaults["max-bypass"]
    printed = parkade("serve", "--print-config", "--config", config(LOT)).stdout.decode()
    assert effective("--config", config(printed)) == tomllib.loads(printed)


def test_every_flag_of_serve_is_a_key(config):
    help_text = parkade("serve", "--help").stdout.decode()
    flags = set(re.findall(r"^ +(?:-\w, )?--([a-z-]+)", help_text, re.MULTILINE))
    assert "max-seqs" in flags
    printed = parkade("serve", "--print-config").stdout.decode()
    keys = {line.removeprefix("# ").split(" ")[0] for line in printed.splitlines() if " =" in line}
    assert flags - {"help", "print-config", "config", "api-key"} <= keys, "a secret is not printed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1\n", ["unknown key `prot`", "`port`"]),
        ("[serve]\nmax-seq = 1\n", ["unknown key `serve.max-seq`", "`serve.max-seqs`"]),
        ("[sevre]\nport = 1\n", ["unknown key `sevre`", "`serve`"]),
        ("port = 70000\n", ["`port`", "70000"]),
        ("port = [1]\n", ["`port`", "array"]),
        ("threads = 'many'\n", ["`threads`", "many"]),
        ("scheduler = 'fair'\n", ["`scheduler`", "fair", "parking-lot"]),
        ("port = \n", ["not valid TOML", "line 1"]),
        ("[run]\ntemperature = 'hot'\n", ["`run.temperature`", "hot"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_is_refused_by_file_key_and_remedy(config, text, words):
    file = config(text)
    done = parkade("serve", "--print-config", "--config", file)
    message = done.stderr.decode()
    assert done.returncode == 2 and done.stdout == b""
    assert file in message
    for word in words:
        assert word in message


def test_what_kubernetes_says_of_a_service_named_parkade_does_not_stop_it(start):
    links = {
        "PARKADE_PORT": "tcp://10.96.12.7:1234",
        "PARKADE_PORT_1234_TCP": "tcp://10.96.12.7:1234",
        "PARKADE_PORT_1234_TCP_ADDR": "10.96.12.7",
        "PARKADE_PORT_1234_TCP_PORT": "1234",
        "PARKADE_PORT_1234_TCP_PROTO": "tcp",
        "PARKADE_SERVICE_HOST": "10.96.12.7",
        "PARKADE_SERVICE_PORT": "1234",
        "PARKADE_SERVICE_PORT_HTTP": "1234",
        "RUST_LOG": "of=another[program",
    }
    assert effective(env=environment(**links)) == effective()
    server = start(env=environment(**links))
    assert '"variable":"PARKADE_PORT"' in server.log and "enableServiceLinks" in server.log
    assert "RUST_LOG is ignored" in server.log


def test_empty_variables_count_as_unset():
    names = re.findall(r'env = "(PARKADE_\w+)"', (ROOT / "crates/cli/src/args.rs").read_text())
    assert len(names) > 20
    assert effective(env=environment(**dict.fromkeys(names, ""))) == effective()


@pytest.mark.parametrize(
    ("key", "value", "arguments"),
    [
        ("port", "none", ["serve"]),
        ("threads", "-1", ["serve"]),
        ("kv-cache-mb", "16000000", ["serve"]),
        ("max-seqs", "0", ["serve"]),
        ("max-connections", "0", ["serve"]),
        ("cors-origins", "example.org", ["serve"]),
        ("model", "/nowhere.gguf", ["serve"]),
        ("chat-template", "lama3", ["serve", "--port", "0"]),
        ("chat-template", "lama3", ["run", "-i", "x"]),
        ("api-keys", "/nowhere.toml", ["serve"]),
        ("host", "203.0.113.7", ["serve", "--port", "0"]),
        ("log-level", "parkade=loudest", ["serve"]),
        ("log-format", "xml", ["run", "-i", "x"]),
        ("top-p", "2", ["run", "-i", "x"]),
        ("top-p", "2", ["serve"]),
        ("max-tokens", "many", ["run", "-i", "x"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_about_a_setting_says_who_gave_it(config, key, value, arguments):
    variable = "PARKADE_" + key.upper().replace("-", "_")
    file = config(f"{key} = '{value}'\n")
    given = {
        f"the flag --{key}": parkade(*arguments, f"--{key}={value}"),
        variable: parkade(*arguments, env=environment(**{variable: value})),
        file: parkade(*arguments, "--config", file),
    }
    for origin, done in given.items():
        message = done.stderr.decode()
        assert done.returncode in (1, 2) and "panicked" not in message
        # What the flag's parser refuses names the flag in clap's own words.
        assert origin in message or (origin.startswith("the flag") and f"for '--{key} " in message), message
    assert f"'--{key}" not in given[variable].stderr.decode() + given[file].stderr.decode()


def test_a_file_that_is_named_must_be_there():
    done = parkade("serve", "--print-config", "--config", "/nowhere/parkade.toml")
    assert done.returncode == 2
    assert "/nowhere/parkade.toml" in done.stderr.decode()


def test_help_can_be_read_and_completions_generated():
    top = parkade("--help").stdout.decode()
    for word in ("run", "serve", "pull", "doctor", "Examples:", "parkade serve --model"):
        assert word in top
    serve = parkade("serve", "--help").stdout.decode()
    assert "127.0.0.1" in serve and "1234" in serve
    assert max(len(line) for line in serve.splitlines()) <= 120
    for shell in ("bash", "zsh", "fish"):
        script = parkade("completions", shell)
        assert script.returncode == 0 and b"parkade" in script.stdout


def test_wrong_usage_is_exit_code_2_and_a_hint():
    done = parkade("serve", "--prot", "1")
    assert done.returncode == 2
    assert "--port" in done.stderr.decode()
    assert parkade("frobnicate").returncode == 2
    assert parkade().returncode == 2


@pytest.mark.parametrize("level", ["zzz", "parkade=loudest", "loud,info", "9"])
def test_a_log_level_that_is_none_is_refused_and_does_not_silence_the_log(config, level):
    given = {
        "for '--log-level ": parkade("serve", "--print-config", "--log-level", level),
        "environment variable PARKADE_LOG_LEVEL": parkade("serve", "--print-config", env=environment(PARKADE_LOG_LEVEL=level)),
        "key `log-level`": parkade("serve", "--print-config", "--config", config(f"log-level = '{level}'\n")),
    }
    for origin, done in given.items():
        message = done.stderr.decode()
        assert done.returncode == 2 and done.stdout == b""
        assert origin in message and level in message and "use error, warn, info, debug, trace or off" in message, message


def test_naming_a_module_hides_nothing_else(start):
    server = start("--log-level", "no_such_module=debug", env=environment(RUST_LOG="zzz"))
    assert '"message":"listening"' in server.log
    other = start(env=environment(RUST_LOG="zzz"))
    assert '"message":"listening"' in other.log and "RUST_LOG is ignored" in other.log
