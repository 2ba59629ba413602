// Clients as their makers ship them, against a gateway with a provider of every protocol behind it.
//
//   node tests/sdk/clients.mjs http://127.0.0.1:8000 openai anthropic ...
//
// The gateway serves the models of the grid (tests/src/grid.rs): `PROVIDER-CASE` for each provider
// named. Each client streams text, calls a tool, and sees an error as an error of its own kind: in
// mid-answer, in an answer's place, and before any provider is asked.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import { APICallError, generateText, jsonSchema, streamText, tool } from "ai";
import { createParser } from "eventsource-parser";
import OpenAI from "openai";

const TEXT = "Hello, wörld 😀!";
const CALLS = [["get_weather", { city: "Paris" }], ["get_time", { zone: "CET" }]];
const ON_FIRE = /The engine is on fire\./;
const UNKNOWN = /There is no model `gpt-9`/;
const schema = { type: "object", properties: { city: { type: "string" }, zone: { type: "string" } } };
const hello = [{ role: "user", content: "Hi" }];

const [url, ...providers] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0, timeout: 60_000 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0, timeout: 60_000 });
const aiOpenai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
const aiAnthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: "any" });

const clients = {
  "openai chat": {
    async text(model) {
      const stream = openai.chat.completions.stream({ model, messages: hello });
      assert.equal(await stream.finalContent(), TEXT);
    },
    async tools(model) {
      const tools = CALLS.map(([name]) => ({ type: "function", function: { name, parameters: schema } }));
      const stream = openai.chat.completions.stream({ model, messages: hello, tools });
      const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
      const called = message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
      assert.deepEqual(called, CALLS);
      assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2);
      assert.equal(finish_reason, "tool_calls");
    },
    async error(model) {
      const stream = openai.chat.completions.stream({ model, messages: hello });
      await assert.rejects(stream.done(), (error) => error instanceof OpenAI.APIError && ON_FIRE.test(error.message));
      await assert.rejects(openai.chat.completions.create({ model, messages: hello }), failed(OpenAI));
    },
    async refused(model) {
      await assert.rejects(openai.chat.completions.stream({ model, messages: hello }).done(), notFound(OpenAI));
    },
  },

  "openai responses": {
    async text(model) {
      const response = await openai.responses.stream({ model, input: "Hi" }).finalResponse();
      assert.equal(response.output_text, TEXT);
      assert.equal(response.usage.output_tokens, 7);
    },
    async tools(model) {
      const tools = CALLS.map(([name]) => ({ type: "function", name, parameters: schema, strict: false }));
      const response = await openai.responses.stream({ model, input: "Hi", tools }).finalResponse();
      const calls = response.output.filter((item) => item.type === "function_call");
      assert.deepEqual(calls.map((call) => [call.name, JSON.parse(call.arguments)]), CALLS);
    },
    async error(model) {
      await assert.rejects(
        openai.responses.stream({ model, input: "Hi" }).finalResponse(),
        (error) => error instanceof OpenAI.APIError && ON_FIRE.test(error.message),
      );
      await assert.rejects(openai.responses.create({ model, input: "Hi" }), failed(OpenAI));
    },
    async refused(model) {
      await assert.rejects(openai.responses.stream({ model, input: "Hi" }).finalResponse(), notFound(OpenAI));
    },
  },

  anthropic: {
    async text(model) {
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages: hello });
      const message = await stream.finalMessage();
      assert.equal(message.content.map((block) => block.text).join(""), TEXT);
      assert.equal(message.stop_reason, "end_turn");
      assert.equal(message.usage.output_tokens, 7);
    },
    async tools(model) {
      const tools = CALLS.map(([name]) => ({ name, input_schema: schema }));
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages: hello, tools });
      const message = await stream.finalMessage();
      const calls = message.content.filter((block) => block.type === "tool_use");
      assert.deepEqual(calls.map((call) => [call.name, call.input]), CALLS);
      assert.equal(message.stop_reason, "tool_use");
    },
    async error(model) {
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages: hello });
      await assert.rejects(
        stream.finalMessage(),
        (error) => error instanceof Anthropic.APIError && ON_FIRE.test(error.message),
      );
      await assert.rejects(anthropic.messages.create({ model, max_tokens: 100, messages: hello }), failed(Anthropic));
    },
    async refused(model) {
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages: hello });
      await assert.rejects(stream.finalMessage(), notFound(Anthropic));
    },
  },

  "ai, openai chat": aiSdk((model) => aiOpenai.chat(model)),
  "ai, openai responses": aiSdk((model) => aiOpenai.responses(model)),
  "ai, anthropic": aiSdk((model) => aiAnthropic(model)),

  langchain: {
    chat: (model) =>
      new ChatOpenAI({ model, apiKey: "any", maxRetries: 0, configuration: { baseURL: `${url}/v1` } }),
    async text(model) {
      let text = "";
      for await (const chunk of await this.chat(model).stream("Hi")) text += chunk.content;
      assert.equal(text, TEXT);
    },
    async tools(model) {
      const tools = CALLS.map(([name]) => ({ type: "function", function: { name, parameters: schema } }));
      let whole;
      for await (const chunk of await this.chat(model).bindTools(tools).stream("Hi")) {
        whole = whole ? whole.concat(chunk) : chunk;
      }
      assert.deepEqual(whole.tool_calls.map((call) => [call.name, call.args]), CALLS);
    },
    async error(model) {
      const read = async () => {
        for await (const _ of await this.chat(model).stream("Hi"));
      };
      await assert.rejects(read, (error) => error instanceof OpenAI.APIError && ON_FIRE.test(error.message));
      await assert.rejects(this.chat(model).invoke("Hi"), failed(OpenAI));
    },
    async refused(model) {
      await assert.rejects(this.chat(model).stream("Hi"), notFound(OpenAI));
    },
  },

  "eventsource-parser": {
    async read(model) {
      const events = [];
      const onEvent = ({ event, data }) => events.push({ event, ...JSON.parse(data) });
      const parser = createParser({ onEvent });
      const answer = await this.ask(model);
      const decoder = new TextDecoder();
      for await (const chunk of answer.body) parser.feed(decoder.decode(chunk, { stream: true }));
      assert.ok(events.every(({ event, type }) => event === type));
      return events;
    },
    ask(model) {
      const body = JSON.stringify({ model, max_tokens: 100, messages: hello, stream: true });
      const headers = { "content-type": "application/json" };
      return fetch(`${url}/v1/messages`, { method: "POST", headers, body });
    },
    async text(model) {
      const events = await this.read(model);
      assert.equal(events.map(({ delta }) => delta?.text ?? "").join(""), TEXT);
      assert.equal(events.at(-1).event, "message_stop");
    },
    async tools(model) {
      const calls = [];
      for (const { event, index, content_block, delta } of await this.read(model)) {
        if (event === "content_block_start" && content_block.type === "tool_use") {
          calls.push({ index, name: content_block.name, input: "" });
        }
        if (delta?.partial_json) calls.find((call) => call.index === index).input += delta.partial_json;
      }
      assert.deepEqual(calls.map(({ name, input }) => [name, JSON.parse(input)]), CALLS);
    },
    async error(model) {
      const { event, error } = (await this.read(model)).at(-1);
      assert.equal(event, "error");
      assert.match(error.message, ON_FIRE);
    },
    async refused(model) {
      const answer = await this.ask(model);
      assert.equal(answer.status, 404);
      assert.match((await answer.json()).error.message, UNKNOWN);
    },
  },
};

/** `streamText` of the AI SDK with a model of its own providers. */
function aiSdk(model) {
  const stream = (name, more) =>
    streamText({ model: model(name), prompt: "Hi", maxRetries: 0, onError: () => {}, ...more });
  return {
    async text(name) {
      const answer = stream(name);
      let text = "";
      for await (const delta of answer.textStream) text += delta;
      assert.equal(text, TEXT);
      assert.equal(await answer.finishReason, "stop");
      assert.equal((await answer.usage).outputTokens, 7);
    },
    async tools(name) {
      const tools = Object.fromEntries(CALLS.map(([name]) => [name, tool({ inputSchema: jsonSchema(schema) })]));
      const calls = await stream(name, { tools }).toolCalls;
      assert.deepEqual(calls.map(({ toolName, input }) => [toolName, input]), CALLS);
    },
    // It has no type of its own for what a provider says within a stream: it hands on its part.
    async error(name) {
      const parts = [];
      for await (const part of stream(name).fullStream) parts.push(part);
      assert.equal(parts.filter(({ type }) => type === "text-delta").map(({ text }) => text).join(""), "Hel");
      const errors = parts.filter(({ type }) => type === "error");
      assert.equal(errors.length, 1);
      assert.match(JSON.stringify(errors[0].error) + errors[0].error.message, ON_FIRE);
      assert.notEqual(parts.find(({ type }) => type === "finish")?.finishReason, "stop");
      await assert.rejects(
        generateText({ model: model(name), prompt: "Hi", maxRetries: 0 }),
        (error) => APICallError.isInstance(error) && error.statusCode === 502 && ON_FIRE.test(error.message),
      );
    },
    async refused(name) {
      const errors = [];
      for await (const part of stream(name).fullStream) if (part.type === "error") errors.push(part.error);
      assert.equal(errors.length, 1);
      assert.ok(APICallError.isInstance(errors[0]), String(errors[0]));
      assert.equal(errors[0].statusCode, 404);
      assert.match(errors[0].message, UNKNOWN);
    },
  };
}

function failed({ InternalServerError }) {
  return (error) => error instanceof InternalServerError && error.status === 502 && ON_FIRE.test(error.message);
}

function notFound({ NotFoundError }) {
  return (error) => error instanceof NotFoundError && error.status === 404 && UNKNOWN.test(error.message);
}

async function check(name, kind, model) {
  try {
    await clients[name][kind](model);
  } catch (error) {
    error.message = `${name}, ${kind}, model ${model}: ${error.message}`;
    throw error;
  }
}

for (const name of Object.keys(clients)) {
  await check(name, "refused", "gpt-9");
  for (const provider of providers) {
    for (const kind of ["text", "tools", "error"]) await check(name, kind, `${provider}-${kind}`);
  }
  console.log(`ok ${name}`);
}
