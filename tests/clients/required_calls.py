"""Counts valid calls: many requests with `tool_choice: required` and tools as people have them, each call's arguments checked.

    .venv-clients/bin/python tests/clients/required_calls.py --url http://127.0.0.1:1234 --calls 1000

Each request has three tools, a temperature from 0 to 1.5 and a seed of its own; it asks for one call, or with `--parallel` for as many
as the model likes. A call is invalid if its tool was not sent or its arguments are no JSON or not by the tool's schema. What
`max_tokens` cut is held to the same, and counted apart. Ends with 1 if there are invalid ones.
"""

import argparse
import asyncio
import collections
import itertools
import json
import sys

import jsonschema
import openai

TEXT = {"type": "string", "maxLength": 24}


def tool(name, description, properties, required=None, **more):
    schema = {"type": "object", "properties": properties, "required": required or list(properties), **more}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    tool("get_weather", "Tells the weather at a place.", {
        "location": TEXT, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}),
    tool("read_file", "Reads lines of a file.", {
        "path": TEXT, "offset": {"type": "integer", "minimum": 0}, "limit": {"type": "integer", "minimum": 1, "maximum": 2000}},
        ["path"], additionalProperties=False),
    tool("run_command", "Runs a command in a shell.", {
        "command": {"type": "string", "minLength": 1, "maxLength": 60}, "timeout_ms": {"type": "integer"}}, ["command"]),
    tool("edit_file", "Replaces text in a file.", {
        "path": TEXT,
        "edits": {"type": "array", "minItems": 1, "maxItems": 3, "items": {
            "type": "object", "properties": {"old": TEXT, "new": TEXT}, "required": ["old", "new"]}}}),
    tool("search", "Searches the web.", {
        "query": TEXT, "site": {"anyOf": [TEXT, {"type": "null"}]}, "pages": {"type": "array", "items": {"type": "integer"}, "maxItems": 4}},
        ["query", "site"]),
    tool("create_event", "Puts an event into the calendar.", {
        "title": TEXT, "date": {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9]$"},
        "kind": {"const": "meeting"}, "guests": {"type": "array", "items": {"$ref": "#/$defs/guest"}, "maxItems": 2}},
        **{"$defs": {"guest": {"type": "object", "properties": {"name": TEXT, "optional": {"type": "boolean"}}, "required": ["name"]}}}),
    tool("set_light", "Sets a lamp.", {
        "room": {"type": "string", "enum": ["kitchen", "hall", "bath"]}, "level": {"type": "number", "minimum": 0, "maximum": 1},
        "on": {"type": "boolean"}}),
    tool("list_files", "Lists a folder.", {}),
    tool("remember", "Keeps facts.", {"facts": {"type": "object", "additionalProperties": TEXT, "maxProperties": 3}}),
    tool("transfer", "Sends money.", {
        "to": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{6}$"}, "cents": {"type": "integer", "exclusiveMinimum": 0, "maximum": 100000},
        "when": {"oneOf": [{"const": "now"}, {"type": "object", "properties": {"in_days": {"type": "integer", "minimum": 1, "maximum": 30}},
                                                "required": ["in_days"], "additionalProperties": False}]}}),
]
SCHEMAS = {one["function"]["name"]: one["function"]["parameters"] for one in TOOLS}
SETS = list(itertools.combinations(TOOLS, 3))
QUESTIONS = [
    "What is the weather in Paris?", "Fix the bug in main.py.", "Turn the lamp in the hall off.", "Meet Ann on Monday.",
    "Send ten euros to my brother.", "Who won the match?", "List what is here.", "Remember that I like tea.", "",
]


def faults(choice, sent):
    """What is wrong with an answer."""
    calls = choice.message.tool_calls or []
    found = [] if calls and choice.finish_reason in ("tool_calls", "length") else ["no call"]
    for call in calls:
        try:
            if call.function.name not in sent:
                raise ValueError(call.function.name)
            jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
        except (ValueError, jsonschema.ValidationError) as error:
            found.append(f"{call.function.name}({call.function.arguments}): {str(error).splitlines()[0]}")
    return found


async def count(url, calls, at_once, max_tokens, parallel):
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=600)
    room, outcomes, made = asyncio.Semaphore(at_once), collections.Counter(), 0

    async def ask(number):
        nonlocal made
        tools = list(SETS[number % len(SETS)])
        async with room:
            answer = await client.chat.completions.create(
                model="default", tools=tools, tool_choice="required", seed=number, temperature=number % 4 / 2,
                messages=[{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}],
                max_tokens=max_tokens, parallel_tool_calls=parallel,
            )
        choice = answer.choices[0]
        made += len(choice.message.tool_calls or [])
        wrong = faults(choice, {one["function"]["name"] for one in tools})
        for fault in wrong:
            print(f"request {number}: {fault}", file=sys.stderr)
        outcomes["invalid" if wrong else "cut" if choice.finish_reason == "length" else "valid"] += 1

    await asyncio.gather(*(ask(number) for number in range(calls)))
    return outcomes, made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:1234")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=1000)
    parser.add_argument("--parallel", action="store_true")
    given = parser.parse_args()
    outcomes, made = asyncio.run(count(given.url, given.calls, given.at_once, given.max_tokens, given.parallel))
    print(f"{given.calls} requests, {made} calls: " + ", ".join(f"{outcomes[key]} {key}" for key in ("valid", "cut", "invalid")))
    return int(outcomes["invalid"] > 0)


if __name__ == "__main__":
    sys.exit(main())
