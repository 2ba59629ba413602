// Clients as their makers ship them, against a gateway with a provider of every protocol behind it.
//
//   node tests/sdk/clients.mjs http://127.0.0.1:8000 openai anthropic ...
//
// The gateway serves the models of the grid (tests/src/grid.rs): `PROVIDER-CASE` for each provider
// named. Each client streams text, calls a tool, and sees an error as an error of its own kind.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import { createParser } from "eventsource-parser";
import OpenAI from "openai";

const TEXT = "Hello, wörld 😀!";
const CALLS = [["get_weather", { city: "Paris" }], ["get_time", { zone: "CET" }]];
const ON_FIRE = /The engine is on fire\./;
const schema = { type: "object", properties: { city: { type: "string" }, zone: { type: "string" } } };
const hello = [{ role: "user", content: "Hi" }];

const [url, ...providers] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0, timeout: 20_000 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0, timeout: 20_000 });

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
      const read = async () => {
        for await (const event of await openai.responses.create({ model, input: "Hi", stream: true })) {
          if (event.type === "error") throw new OpenAI.APIError(undefined, event, event.message, undefined);
          if (event.type === "response.failed") {
            throw new OpenAI.APIError(undefined, event, event.response.error.message, undefined);
          }
        }
      };
      await assert.rejects(read, (error) => error instanceof OpenAI.APIError && ON_FIRE.test(error.message));
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
    },
  },

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
      await assert.rejects(read, ON_FIRE);
    },
  },

  "eventsource-parser": {
    async read(model) {
      const events = [];
      const parser = createParser({ onEvent: (event) => events.push(JSON.parse(event.data)) });
      const body = JSON.stringify({ message: "Hi", model });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${url}/chat/stream`, { method: "POST", headers, body });
      const decoder = new TextDecoder();
      for await (const chunk of answer.body) parser.feed(decoder.decode(chunk, { stream: true }));
      return events;
    },
    async text(model) {
      const events = await this.read(model);
      assert.equal(events.slice(0, -1).map((event) => event.token).join(""), TEXT);
      assert.equal(events.at(-1).done, true);
    },
    async tools(model) {
      assert.equal((await this.read(model)).at(-1).done, true);
    },
    async error(model) {
      assert.match((await this.read(model)).at(-1).error.message, ON_FIRE);
    },
  },
};

for (const provider of providers) {
  for (const [name, client] of Object.entries(clients)) {
    for (const check of ["text", "tools", "error"]) {
      try {
        await client[check](`${provider}-${check}`);
      } catch (error) {
        error.message = `${name}, ${check}, provider ${provider}: ${error.message}`;
        throw error;
      }
    }
    console.log(`ok ${name} of ${provider}`);
  }
}
