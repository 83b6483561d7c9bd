"""What goes wrong, as exceptions. All of them are a :class:`ParkadeError`."""

from __future__ import annotations

from typing import Optional


class ParkadeError(Exception):
    """A failure of Parkade. Of this very class are the engine's own faults; the request may be sent again.

    ``code`` is the machine-readable reason, as in the server's API; ``field`` the option at fault, where it is one;
    ``retry_after`` the seconds after which it may work, where that is known.
    """

    def __init__(
        self,
        message: str,
        code: str = "internal_error",
        field: Optional[str] = None,
        retry_after: Optional[int] = None,
    ):
        super().__init__(message)
        self.code = code
        self.field = field
        self.retry_after = retry_after


class LoadError(ParkadeError):
    """There is no engine: ``field`` is the setting at fault, and the message says what to do."""


class InvalidRequestError(ParkadeError, ValueError):
    """An option that is not allowed, or a prompt that can never be answered. ``field`` names it."""


class RefusedError(ParkadeError):
    """The engine is saturated, or a tenant is over its limit. It may work after ``retry_after`` seconds."""


class DeadlineError(RefusedError, TimeoutError):
    """The deadline cannot be met, or has passed."""


class RequestCancelledError(ParkadeError):
    """Somebody cancelled the request by its id."""


class EngineStoppedError(ParkadeError):
    """The engine is closed, or has died."""
