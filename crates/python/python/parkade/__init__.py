"""Open-weight language models on ordinary CPU machines: Parkade's engine in this process.

    from parkade import Engine

    with Engine() as engine:
        print(engine.chat("What is the chemical formula of water?"))

The same package has the ``parkade`` command, which serves OpenAI's API (``parkade serve``).
"""

from ._native import Stream, __version__
from .answers import Answer, Choice, Chunk, TokenLogprob, ToolCall, ToolCallChunk, Usage
from .engine import Engine
from .errors import (
    DeadlineError,
    EngineStoppedError,
    InvalidRequestError,
    LoadError,
    ParkadeError,
    RefusedError,
    RequestCancelledError,
)
from .options import Message, Options, Prompt, Scheduling, Settings

__all__ = [
    "Answer",
    "Choice",
    "Chunk",
    "DeadlineError",
    "Engine",
    "EngineStoppedError",
    "InvalidRequestError",
    "LoadError",
    "Message",
    "Options",
    "ParkadeError",
    "Prompt",
    "RefusedError",
    "RequestCancelledError",
    "Scheduling",
    "Settings",
    "Stream",
    "TokenLogprob",
    "ToolCall",
    "ToolCallChunk",
    "Usage",
    "__version__",
]
