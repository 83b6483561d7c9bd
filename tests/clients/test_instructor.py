"""instructor: its first example in each of its modes."""

import anthropic
import instructor
import openai
import pytest
from pydantic import BaseModel, Field

ASK = [{"role": "user", "content": "Jason is 25 years old"}]


class User(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


MODES = [
    instructor.Mode.TOOLS,
    instructor.Mode.TOOLS_STRICT,
    instructor.Mode.JSON_SCHEMA,
    instructor.Mode.RESPONSES_TOOLS,
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_user_is_extracted(base_url, mode):
    client = instructor.from_openai(openai.OpenAI(base_url=base_url), mode=mode)
    length = {"max_output_tokens": 300} if mode == instructor.Mode.RESPONSES_TOOLS else {"max_tokens": 300}
    user = client.create(model="default", messages=ASK, response_model=User, max_retries=1, **length)
    assert isinstance(user, User)


def test_a_partial_user_is_streamed(base_url):
    client = instructor.from_openai(openai.OpenAI(base_url=base_url), mode=instructor.Mode.TOOLS)
    parts = list(client.create_partial(model="default", messages=ASK, response_model=User, max_tokens=300))
    assert len(parts) > 1 and parts[-1].age is not None


async def test_async(base_url):
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=base_url), mode=instructor.Mode.TOOLS)
    assert isinstance(await client.create(model="default", messages=ASK, response_model=User, max_tokens=300), User)


def test_by_anthropics_messages(server):
    client = instructor.from_anthropic(
        anthropic.Anthropic(base_url=server.url), mode=instructor.Mode.ANTHROPIC_TOOLS
    )
    assert isinstance(client.create(model="default", messages=ASK, response_model=User, max_tokens=300), User)
