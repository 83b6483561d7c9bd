// The client `@anthropic-ai/sdk`: messages, streams, tools, counts.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.PARKADE_URL, apiKey: "unused", maxRetries: 0 });
const model = "default";
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const tools = [
  {
    name: "weather",
    description: "Tells the weather.",
    input_schema: {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 } },
      required: ["city"],
      additionalProperties: false,
    },
  },
];

test("a message is answered", async () => {
  const message = await client.messages.create({ model, messages, max_tokens: 10 });
  assert.equal(message.type, "message");
  assert.ok(message.content[0].text);
  assert.ok(message.usage.output_tokens > 0);
});

test("a stream ends with the whole message", async () => {
  const texts = [];
  const stream = client.messages.stream({ model, messages, max_tokens: 20 }).on("text", (text) => texts.push(text));
  const message = await stream.finalMessage();
  assert.equal(texts.join(""), message.content[0].text);
  const kinds = [];
  for await (const event of await client.messages.create({ model, messages, max_tokens: 5, stream: true })) {
    kinds.push(event.type);
  }
  assert.equal(kinds[0], "message_start");
  assert.equal(kinds.at(-1), "message_stop");
});

test("a tool is used, and its result goes back", async () => {
  const request = { model, messages, tools, max_tokens: 100, tool_choice: { type: "tool", name: "weather" } };
  const used = await client.messages.create(request);
  assert.equal(used.stop_reason, "tool_use");
  assert.equal(typeof used.content[0].input.city, "string");
  const streamed = await client.messages.stream(request).finalMessage();
  assert.equal(typeof streamed.content[0].input.city, "string");
  const result = { type: "tool_result", tool_use_id: used.content[0].id, content: "It rains." };
  const answer = await client.messages.create({
    model, tools, max_tokens: 10,
    messages: [...messages, { role: "assistant", content: used.content }, { role: "user", content: [result] }],
  });
  assert.ok(answer.usage.input_tokens + answer.usage.cache_read_input_tokens > used.usage.input_tokens);
});

test("tokens are counted", async () => {
  assert.ok((await client.messages.countTokens({ model, messages })).input_tokens > 5);
});

test("models are listed", async () => {
  const listed = [];
  for await (const item of client.models.list()) listed.push(item.id);
  assert.equal(listed.length, 2);
});

test("errors are the client's own", async () => {
  await assert.rejects(client.messages.create({ model: "nowhere", messages, max_tokens: 5 }), Anthropic.NotFoundError);
  await assert.rejects(client.messages.create({ model, messages, max_tokens: 0 }), Anthropic.BadRequestError);
});
