"""Leaving, in whatever way, cancels; ends reach those who wait."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from conftest import PATIENCE, await_idle
from parkade import Engine, EngineStoppedError, RequestCancelledError

LONG = {"max_tokens": 1500, "ignore_eos": True}


class Mishap(Exception):
    pass


def test_an_exception_in_the_middle_of_a_stream_cancels_it(engine):
    with pytest.raises(Mishap):
        for number, _ in enumerate(engine.stream("Once", **LONG)):
            if number == 3:
                raise Mishap
    await_idle(engine)


def test_leaving_cancels(engine):
    before = engine.metrics()["totals"]["cancelled"]
    for _ in engine.stream("Once", **LONG):
        break
    with engine.stream("Once", **LONG) as stream:
        next(stream)
    assert list(stream) == [] and stream.answer is None
    with pytest.raises(RequestCancelledError):
        stream.result()
    dropped = engine.stream("Once", **LONG)
    del dropped
    closed = engine.stream("Once", **LONG)
    closed.close()
    closed.close()
    await_idle(engine)
    assert engine.metrics()["totals"]["cancelled"] == before + 4


def test_a_request_is_known_and_cancelled_by_its_name(engine):
    with engine.stream("Once", request_id="tale", tenant="ada", priority_class="high", **LONG) as stream:
        next(stream)
        status = engine.status("tale")
        assert (status["state"], status["tenant"], status["class"]) == ("running", "ada", "high")
        assert status["completion_tokens"] >= 1
        assert engine.cancel("tale")
        with pytest.raises(RequestCancelledError) as cancelled:
            list(stream)
        assert cancelled.value.code == "request_cancelled"
    await_idle(engine)
    assert engine.status("tale") is None and not engine.cancel("tale")


def ends_of_readers(scheduler, end):
    """How eight readers of an engine end, some of them in line, when it does."""
    engine = Engine(scheduler=scheduler, kv_cache_mb=64, max_seqs=4)
    ends, begun = [], threading.Barrier(9)

    def read(stream):
        begun.wait(PATIENCE)
        try:
            ends.append(sum(1 for _ in stream))
        except EngineStoppedError as error:
            ends.append(str(error))

    streams = [engine.stream(f"{number} and", **LONG) for number in range(8)]
    readers = [threading.Thread(target=read, args=(stream,)) for stream in streams]
    del streams
    for reader in readers:
        reader.start()
    begun.wait(PATIENCE)
    engine = end(engine)
    for reader in readers:
        reader.join(PATIENCE)
    return ends


@pytest.mark.parametrize("scheduler", ["parking-lot", "default"])
def test_an_engine_that_is_dropped_or_closed_ends_its_readers(scheduler):
    assert ends_of_readers(scheduler, lambda engine: engine.close()) == ["the engine was closed"] * 8
    # The function's own name for it is the last one.
    assert ends_of_readers(scheduler, lambda engine: None) == ["the engine was closed"] * 8


def test_a_reader_that_waits_sees_that_its_stream_was_closed():
    with Engine(scheduler="default", kv_cache_mb=32, max_seqs=1) as engine:
        running = engine.stream("Once", **LONG)
        next(running)
        in_line = engine.stream("Twice", **LONG)
        pieces = []
        reader = threading.Thread(target=lambda: pieces.extend(in_line))
        reader.start()
        in_line.close()
        reader.join(PATIENCE)
        assert not reader.is_alive() and pieces == []


def test_a_closed_engine_says_so():
    with Engine(kv_cache_mb=16) as engine:
        pass
    engine.close()
    for ask in (lambda: engine.chat("One"), engine.metrics, lambda: engine.status("x"), lambda: engine.model):
        with pytest.raises(EngineStoppedError, match="the engine is closed"):
            ask()


SCRIPT = """
import signal
from parkade import Engine
signal.signal(signal.SIGINT, signal.default_int_handler)  # Background jobs of a shell ignore it.
engine = Engine(kv_cache_mb=32, max_seqs=1)
running = engine.stream("Once", max_tokens=1500, ignore_eos=True)
next(running)
print("waiting", flush=True)
engine.complete("In line behind what nobody reads", {})
"""


@pytest.mark.parametrize("options", ["max_tokens=2", "max_tokens=1500, ignore_eos=True"])
def test_ctrl_c_reaches_a_thread_that_waits(options):
    script = SCRIPT.replace("{}", options)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    os.kill(process.pid, signal.SIGINT)
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT, log
    assert log.rstrip().endswith("KeyboardInterrupt"), log


def test_a_process_ends_while_a_thread_of_it_still_reads():
    script = """
import threading
from parkade import Engine
engine = Engine(kv_cache_mb=32)
stream = engine.stream("Once", max_tokens=1500, ignore_eos=True)
next(stream)
threading.Thread(target=lambda: list(stream), daemon=True).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_process_is_told_that_the_engine_is_not_its_own():
    script = """
import os
from parkade import Engine, EngineStoppedError
engine = Engine(kv_cache_mb=32)
child = os.fork()
if child == 0:
    try:
        engine.chat("One")
    except EngineStoppedError as error:
        print(error, flush=True)
    del engine
    raise SystemExit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), engine.complete("One", max_tokens=1).usage.completion_tokens)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.splitlines() == ["the engine was made before this process was forked; make one here", "7 1"], done.stderr


def test_an_answer_of_another_process_ends_at_once():
    script = """
import os
from parkade import Engine, EngineStoppedError
engine = Engine(kv_cache_mb=32)
stream = engine.stream("One", max_tokens=30, ignore_eos=True)
next(stream)
child = os.fork()
if child == 0:
    for read in (lambda: next(stream), lambda: list(stream), stream.result):
        try:
            read()
        except EngineStoppedError:
            print("stopped", flush=True)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stream.result().usage.completion_tokens)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.splitlines() == ["stopped"] * 3 + ["7 30"], done.stderr
