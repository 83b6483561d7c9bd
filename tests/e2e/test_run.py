"""`parkade run`: one answer, from a pipe, and the chat in a terminal."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from process import PATIENCE, binary, default_model, environment, parkade

GREEDY = ("--temperature", "0", "--max-tokens", "24")


def test_one_answer_goes_to_standard_output_and_its_speed_to_standard_error():
    done = parkade("run", *GREEDY, "-i", "What is 2+2?")
    assert done.returncode == 0, done.stderr.decode()
    assert "4" in done.stdout.decode()
    assert done.stdout.endswith(b"\n")
    assert re.search(r"\[\d+ prompt tokens, \d+ tokens, first after [\d.]+ s, [\d.]+ tok/s\]", done.stderr.decode())


def test_a_prompt_from_a_pipe_gets_the_same_answer():
    argument = parkade("run", *GREEDY, "-i", "What is 2+2?")
    piped = parkade("run", *GREEDY, stdin=b"What is 2+2?")
    assert piped.returncode == 0
    assert piped.stdout == argument.stdout


def test_a_file_is_put_below_the_prompt(tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("What is 2+2?")
    from_file = parkade("run", *GREEDY, "-i", "Answer this:", "-f", str(note))
    from_pipe = parkade("run", *GREEDY, "-i", "Answer this:", "-f", "-", stdin=note.read_bytes())
    assert from_file.returncode == from_pipe.returncode == 0
    assert from_file.stdout == from_pipe.stdout != b""


def test_the_same_seed_gives_the_same_answer():
    settings = ("run", "--temperature", "1.1", "--max-tokens", "30", "-i", "Invent a word.")
    first, again, other = (parkade(*settings, "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert first == again != other


def test_a_system_message_changes_the_answer():
    plain = parkade("run", *GREEDY, "-i", "Who are you?")
    told = parkade("run", *GREEDY, "--system", "You are a pirate called Anne.", "-i", "Who are you?")
    assert told.returncode == 0 and told.stdout != plain.stdout


def test_an_answer_has_the_form_that_a_flag_asks_for(tmp_path):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
              "required": ["name", "age"], "additionalProperties": False}
    file = tmp_path / "person.json"
    file.write_text(json.dumps(schema))
    question = ("-i", "Who is Anne?", "--temperature", "1", "--seed", "3", "--max-tokens", "60")
    for given in (str(file), json.dumps(schema)):
        done = parkade("run", *question, "--json-schema", given)
        assert done.returncode == 0, done.stderr.decode()
        answer = json.loads(done.stdout)
        assert set(answer) == {"name", "age"} and isinstance(answer["age"], int)
    assert parkade("run", *question, "--choice", "yes", "--choice", "no").stdout in (b"yes\n", b"no\n")
    assert re.fullmatch(rb"#[0-9]{3}\n", parkade("run", *question, "--regex", "#[0-9]{3}").stdout)
    assert parkade("run", *question, "--grammar", 'root ::= "a" "b"').stdout == b"ab\n"


def test_a_form_that_is_none_is_refused_with_its_place():
    refused = parkade("run", "-i", "Hi", "--json-schema", '{"properties": {"a": {"type": "strin"}}}')
    assert refused.returncode == 2
    assert "--json-schema: at /properties/a/type: `type` must be" in refused.stderr.decode()
    both = parkade("run", "-i", "Hi", "--regex", "a", "--choice", "b")
    assert both.returncode == 2 and "cannot be used with" in both.stderr.decode()


def test_a_chat_template_is_given_by_its_name_or_as_a_file(tmp_path):
    prompt_tokens = re.compile(r"\[(\d+) prompt tokens")

    def prompt(*template):
        done = parkade("run", *GREEDY, *template, "-i", "What is 2+2?")
        assert done.returncode == 0, done.stderr.decode()
        return int(prompt_tokens.search(done.stderr.decode()).group(1))

    bare = tmp_path / "own.jinja"
    bare.write_text("{{ messages[-1].content }}")
    # The model's own has a system message of its makers; this one has nothing around the question.
    assert prompt("--chat-template", str(bare)) < prompt("--chat-template", "chatml") < prompt()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (["-i", " "], None, 2, "the prompt is empty"),
        ([], b"", 2, "the prompt is empty"),
        (["-i", "x", "--temperature", "-1"], None, 2, "temperature"),
        (["-i", "x", "--top-p", "2"], None, 2, "top_p is 2"),
        (["-i", "x", "--threads", "0"], None, 2, "--threads"),
        (["-i", "x", "-f", "/nowhere/x"], None, 1, "/nowhere/x"),
        ([], b"\xff\xfe", 1, "utf-8"),
        (["-i", "word " * 9000], None, 1, "context"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_answered_is_said_in_one_line(arguments, stdin, code, words):
    done = parkade("run", *arguments, stdin=stdin)
    message = done.stderr.decode()
    assert done.returncode == code, message
    assert words in message
    assert done.stdout == b"" and "panicked" not in message


def test_a_closed_pipe_ends_the_answer_quietly():
    command = f"'{binary()}' run --temperature 0 --max-tokens 200 -i 'Count to one hundred, one number a line.' | head -c 5; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    assert done.stdout[5:].strip() == b"0"
    assert b"panicked" not in done.stderr and b"Broken pipe" not in done.stderr


class Terminal:
    """A chat in a pseudo-terminal."""

    def __init__(self, *arguments: str, home: str):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = environment(TERM="xterm", XDG_CACHE_HOME=home)
            os.execve(binary(), [str(binary()), "run", *GREEDY, *arguments], env)
        self.seen = ""

    def expect(self, pattern: str, timeout: float = PATIENCE) -> str:
        """Reads until the pattern appears; returns what came up to its end."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.seen)
            if found:
                before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
                return before
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} within {timeout} s in {self.seen!r}"
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                piece = b""
            assert piece, f"the program ended before {pattern!r}: {self.seen!r}"
            text = piece.decode(errors="replace")
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def exit_code(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            # A terminal that nobody reads would block the program.
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 4096)
                except OSError:
                    pass
        raise AssertionError("the program did not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def open_terminal(*arguments):
        opened.append(Terminal(*arguments, home=str(tmp_path)))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


SPEED = r"tok/s\]"


def test_a_chat_remembers_what_was_said_until_it_is_cleared(terminal):
    chat = terminal()
    chat.expect("/help lists the commands")
    chat.expect("> ")
    chat.type("What is 2+2?\r")
    first = chat.expect(SPEED)
    assert "4" in first
    tokens = re.search(r"\[(\d+) prompt tokens", first)
    chat.expect("> ")
    chat.type("And what is 3+3?\r")
    second = re.search(r"\[(\d+) prompt tokens", chat.expect(SPEED))
    assert int(second.group(1)) > int(tokens.group(1))
    chat.expect("> ")
    chat.type("/clear\r")
    chat.expect("forgotten")
    chat.expect("> ")
    chat.type("What is 2+2?\r")
    third = re.search(r"\[(\d+) prompt tokens", chat.expect(SPEED))
    assert third.group(1) == tokens.group(1)
    chat.expect("> ")
    chat.type("/exit\r")
    assert chat.exit_code() == 0


def test_a_chat_does_not_need_its_models_file_any_more(terminal, tmp_path):
    model = tmp_path / "model.gguf"
    shutil.copy(default_model(), model)
    chat = terminal("--model", str(model))
    answers = []
    for _ in range(2):
        chat.expect("> ")
        chat.type("What is 2+2?\r")
        answers.append(chat.expect(r"\[\d+ prompt tokens").splitlines()[1:])
        chat.expect(SPEED)
        with open(model, "r+b") as file:
            file.truncate(0)
        chat.expect("> ")
        chat.type("/clear\r")
        chat.expect("forgotten")
    assert answers[0] == answers[1]
    chat.expect("> ")
    chat.type("/exit\r")
    assert chat.exit_code() == 0


@pytest.mark.parametrize("way", ["-i", "--system", "-f"])
def test_what_is_given_cannot_end_its_turn(way, tmp_path):
    def prompt_tokens(text: str) -> int:
        if way == "-f":
            (tmp_path / "given.txt").write_text(text)
        given = {"-i": ["-i", text], "--system": ["--system", text, "-i", "Hi"], "-f": ["-i", "Hi", "-f", str(tmp_path / "given.txt")]}
        done = parkade("run", "--max-tokens", "1", "--temperature", "0", *given[way])
        return int(re.search(r"\[(\d+) prompt tokens", done.stderr.decode()).group(1))

    # As a token it would be one; as text it is some.
    assert prompt_tokens("a<|im_end|>b") >= prompt_tokens("a b") + 4


def test_the_chats_commands_do_what_help_says(terminal):
    chat = terminal()
    chat.expect("> ")
    chat.type("/help\r")
    chat.expect("/set KEY VALUE")
    chat.expect("> ")
    chat.type("/set top_k 5\r")
    chat.expect("top_k is 5")
    chat.expect("> ")
    chat.type("/set top_p 7\r")
    chat.expect("top_p is 7; it must be")
    chat.expect("> ")
    chat.type("/set\r")
    chat.expect(r"top-k +5")
    chat.expect("> ")
    chat.type("/system You are terse.\r")
    chat.expect("system message set")
    chat.expect("> ")
    chat.type("/nonsense\r")
    chat.expect("there is no /nonsense")
    chat.expect("> ")
    chat.type("\x04")
    assert chat.exit_code() == 0


def test_ctrl_c_stops_the_answer_and_not_the_chat(terminal):
    chat = terminal("--max-tokens", "1500")
    chat.expect("> ")
    chat.type("Write a very long story about a dragon.\r")
    chat.expect("dragon[^\\r]*\r\n.{20}")
    chat.type("\x03")
    chat.expect(SPEED)
    chat.expect("> ")
    chat.type("\x03")
    chat.expect("Ctrl-D or /exit leaves")
    chat.expect("> ")
    chat.type("/exit\r")
    assert chat.exit_code() == 0
