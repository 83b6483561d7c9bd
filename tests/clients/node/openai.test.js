// The client `openai`: chat, parse, stream, tools, responses, embeddings, models.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.PARKADE_URL}/v1`, apiKey: "unused", maxRetries: 0 });
const model = "default";
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const City = z.object({ name: z.string().max(20), large: z.boolean() });
const tool = (more) => zodFunction({ name: "look_up", parameters: City, ...more });

test("a chat is answered", async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 10 });
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a stream says what the whole answer does", async () => {
  const request = { model, messages, max_tokens: 20, temperature: 0 };
  const whole = await client.chat.completions.create(request);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(text, whole.choices[0].message.content);
  const helper = client.chat.completions.stream(request);
  const events = [];
  helper.on("content", (delta) => events.push(delta));
  assert.equal((await helper.finalChatCompletion()).choices[0].message.content, text);
  assert.equal(events.join(""), text);
});

test("parse gives an object", async () => {
  const answer = await client.chat.completions.parse({
    model, messages, max_tokens: 200, response_format: zodResponseFormat(City, "city"),
  });
  assert.equal(typeof answer.choices[0].message.parsed.large, "boolean");
});

test("parse gives the arguments of a call", async () => {
  const request = {
    model, messages, max_tokens: 200, tools: [tool()], tool_choice: "required", parallel_tool_calls: false,
  };
  const answer = await client.chat.completions.parse(request);
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(typeof call.function.parsed_arguments.large, "boolean");
  const streamed = await client.chat.completions.stream({ ...request, seed: 2 }).finalChatCompletion();
  assert.equal(typeof streamed.choices[0].message.tool_calls[0].function.parsed_arguments.name, "string");
});

test("runTools calls the function and sends its result back", async () => {
  const called = [];
  const runner = client.chat.completions.runTools(
    {
      model, messages, max_tokens: 100, parallel_tool_calls: false,
      tool_choice: { type: "function", function: { name: "look_up" } },
      tools: [tool({ function: (city) => called.push(city) && "It rains." })],
    },
    { maxChatCompletions: 2 },
  );
  await runner.done();
  assert.equal(called.length, 1);
});

test("responses are made, streamed, parsed, continued and deleted", async () => {
  const input = "Say hello.";
  const first = await client.responses.create({ model, input, max_output_tokens: 10 });
  assert.ok(first.output_text);
  const next = await client.responses.create({ model, input, previous_response_id: first.id, max_output_tokens: 10 });
  assert.ok(next.usage.input_tokens > first.usage.input_tokens);
  assert.equal((await client.responses.retrieve(first.id)).id, first.id);
  await client.responses.delete(first.id);
  const kinds = [];
  const stream = client.responses.stream({ model, input, max_output_tokens: 10 });
  for await (const event of stream) kinds.push(event.type);
  assert.equal(kinds[0], "response.created");
  assert.ok((await stream.finalResponse()).output_text);
  const parsed = await client.responses.parse({
    model, input, max_output_tokens: 200, text: { format: zodTextFormat(City, "city") },
  });
  assert.equal(typeof parsed.output_parsed.large, "boolean");
});

test("texts are embedded", async () => {
  const model = process.env.PARKADE_EMBEDDING_MODEL;
  const { data } = await client.embeddings.create({ model, input: ["a", "b"] });
  assert.deepEqual(data.map((item) => item.embedding.length), [384, 384]);
  assert.ok(data[0].embedding.some((value) => value !== 0));
});

test("models are listed", async () => {
  const listed = [];
  for await (const item of client.models.list()) listed.push(item.id);
  assert.equal(listed.length, 2);
  assert.equal((await client.models.retrieve(listed[0])).id, listed[0]);
});

test("errors are the client's own", async () => {
  await assert.rejects(client.chat.completions.create({ model: "nowhere", messages }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ model, messages, temperature: -1 }), OpenAI.BadRequestError);
});
