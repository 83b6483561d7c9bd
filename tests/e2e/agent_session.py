"""A session of an agent as it is sent turn by turn, made by rule: instructions, tools, calls, results, of about 20,000 tokens in 20 turns."""

import json
import random

WORDS = (
    "file line module test error value index parser buffer token queue server client request answer block cache memory thread lock "
    "branch commit merge build check release version module path folder number text list tree node state table column row the a of to"
).split()
NAMES = ["read_file", "write_file", "edit_file", "run_command", "search_files", "list_folder", "fetch_page", "ask_user"]


class Session:
    """The parts of a session. `turns` are a user's question or a call, with its result."""

    def __init__(self, turns: int = 20, seed: int = 12):
        self.random = random.Random(seed)
        self.system = "You are an agent that works on a program.\n" + self.prose(3100)
        self.tools = [(name, self.prose(40), self.schema()) for name in NAMES]
        self.turns = [self.turn(number) for number in range(turns)]

    def prose(self, words: int) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(words)) + "."

    def schema(self) -> dict:
        properties = {
            name: {"type": "string", "description": self.prose(12)} for name in self.random.sample(WORDS[:30], 4)
        }
        return {"type": "object", "properties": properties, "required": list(properties)[:2]}

    def turn(self, number: int) -> dict:
        name, _, schema = self.random.choice(self.tools)
        return {
            "question": self.prose(20) if number % 5 == 0 else None,
            "said": self.prose(15),
            "id": f"call_{number:04}",
            "name": name,
            "arguments": {key: self.prose(5) for key in schema["required"]},
            "result": self.prose(self.random.randint(40, 160)),
        }

    def chat(self, turn: int) -> dict:
        """The body of a turn's request as chats have it."""
        messages = [{"role": "system", "content": self.system}]
        for past in self.turns[: turn + 1]:
            if past["question"]:
                messages.append({"role": "user", "content": past["question"]})
            function = {"name": past["name"], "arguments": json.dumps(past["arguments"])}
            call = {"id": past["id"], "type": "function", "function": function}
            messages.append({"role": "assistant", "content": past["said"], "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": past["id"], "content": past["result"]})
        tools = [
            {"type": "function", "function": {"name": name, "description": said, "parameters": schema}}
            for name, said, schema in self.tools
        ]
        return {"messages": messages, "tools": tools}

    def messages(self, turn: int) -> dict:
        """The same as Messages have it: a header that is another one each time, and marks for a cache that move on."""
        messages = []
        for past in self.turns[: turn + 1]:
            if past["question"]:
                messages.append({"role": "user", "content": [{"type": "text", "text": past["question"]}]})
            use = {"type": "tool_use", "id": past["id"], "name": past["name"], "input": past["arguments"]}
            result = {"type": "tool_result", "tool_use_id": past["id"], "content": past["result"]}
            messages.append({"role": "assistant", "content": [{"type": "text", "text": past["said"]}, use]})
            messages.append({"role": "user", "content": [result]})
        messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
        header = f"x-anthropic-billing-header: cc_version=2.1.{turn}; cch={turn * 7919:05x};"
        system = [
            {"type": "text", "text": header},
            {"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}},
        ]
        tools = [{"name": name, "description": said, "input_schema": schema} for name, said, schema in self.tools]
        return {"messages": messages, "system": system, "tools": tools}
