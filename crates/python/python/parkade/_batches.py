"""Many prompts at once."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import Any, Optional, Union

from . import _native
from .answers import Answer
from .errors import ParkadeError, RefusedError
from .options import Prompt


class Batch:
    """Hands in as many prompts as may be with the engine at a time, and puts their answers in order."""

    def __init__(self, submit: Callable[[Prompt], _native.Stream], prompts: Sequence[Prompt], keep_errors: bool, bar: Any):
        self.submit = submit
        self.prompts = prompts
        self.keep_errors = keep_errors
        self.bar = bar
        self.bell = _native.Bell(False)
        self.left = deque(range(len(prompts)))
        self.running: dict[int, _native.Stream] = {}
        self.answers: list[Any] = [None] * len(prompts)

    def run(self, most: int) -> list[Any]:
        """All answers. What still runs when an exception comes is cancelled."""
        try:
            while self.left or self.running:
                while self.left and len(self.running) < most and self._take(self.left[0]):
                    self.left.popleft()
                for number in self.running.keys() & self.bell.wait() if self.running else ():
                    self._read(number)
            return self.answers
        finally:
            for stream in self.running.values():
                stream.close()

    def _take(self, number: int) -> bool:
        """Hands a prompt in; false if it has to wait until others are done."""
        try:
            self.running[number] = self.submit(self.prompts[number])
        except RefusedError as error:
            # The line is full, of others' requests if none is one's own: then waiting may never end.
            if self.running:
                return False
            self._end(number, error)
        except ParkadeError as error:
            self._end(number, error)
        else:
            self._read(number)
        return True

    def _read(self, number: int) -> None:
        try:
            if self.running[number].collect(self.bell, number):
                self._end(number, self.running[number].answer)
        except ParkadeError as error:
            self._end(number, error)

    def _end(self, number: int, outcome: Union[Answer, ParkadeError, None]) -> None:
        if isinstance(outcome, ParkadeError) and not self.keep_errors:
            raise outcome
        self.answers[number] = outcome
        self.running.pop(number, None)
        self.bar.update()


class _NoBar:
    def update(self) -> None:
        pass


def bar(total: int, wanted: Optional[bool]) -> Any:
    """A progress bar, if tqdm is installed and it is wanted, or standard error is a terminal and nobody said."""
    if sys.stderr.isatty() if wanted is None else wanted:
        with suppress(ImportError):
            return import_module("tqdm.auto").tqdm(total=total, unit="answer")
    return nullcontext(_NoBar())
