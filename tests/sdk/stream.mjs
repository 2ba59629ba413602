// The official OpenAI SDK for JavaScript against a running gateway.
//
//   node tests/sdk/stream.mjs http://127.0.0.1:8000
//
// The gateway serves the models of tests/sdk/stage.toml.

import assert from "node:assert/strict";
import OpenAI from "openai";

const STEADY_TEXT = "word ".repeat(20) + "end 👩‍👩‍👧‍👦";
/** The text takes a second; what comes at once is at once on a loaded machine too. */
const GROWTH_MS_MIN = 300;
const messages = [{ role: "user", content: "Hi" }];

const checks = {
  async models(client) {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.equal(names[0], "steady");
    assert.deepEqual(new Set(names), new Set(["steady", "whole", "breaking", "tools"]));
  },

  async stream(client) {
    const times = [];
    const finishes = [];
    let text = "";
    for await (const chunk of await client.chat.completions.create({ model: "steady", messages, stream: true })) {
      assert.ok(!chunk.usage, "usage was not asked for");
      const [choice] = chunk.choices;
      if (choice.delta.content) {
        times.push(performance.now());
        text += choice.delta.content;
      }
      if (choice.finish_reason) finishes.push(choice.finish_reason);
    }
    assert.equal(text, STEADY_TEXT);
    assert.deepEqual(finishes, ["stop"]);
    assert.ok(times.at(-1) - times[0] > GROWTH_MS_MIN, "the text should grow, not come at once");
  },

  async "stream with usage"(client) {
    const usages = [];
    const stream_options = { include_usage: true };
    const chunks = await client.chat.completions.create({ model: "steady", messages, stream: true, stream_options });
    for await (const chunk of chunks) if (chunk.usage) usages.push(chunk.usage.completion_tokens);
    assert.deepEqual(usages, [21]);
  },

  async whole(client) {
    const answer = await client.chat.completions.create({ model: "whole", messages });
    assert.equal(answer.choices[0].message.content, "Hello there");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, 5);
  },

  async "unknown model"(client) {
    await assert.rejects(
      client.chat.completions.create({ model: "gpt-9", messages, stream: true }),
      (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.param === "model",
    );
  },

  async broken(client) {
    let text = "";
    const read = async () => {
      const chunks = await client.chat.completions.create({ model: "breaking", messages, stream: true });
      for await (const chunk of chunks) text += chunk.choices[0].delta.content ?? "";
    };
    await assert.rejects(read, (error) => error instanceof OpenAI.APIError && error.code === "connection_lost");
    assert.equal(text, "Hello");
  },

  async left(client) {
    for await (const _ of await client.chat.completions.create({ model: "steady", messages, stream: true })) break;
    await checks.stream(client);
  },
};

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "any", maxRetries: 0, timeout: 60_000 });
for (const [name, check] of Object.entries(checks)) {
  await check(client);
  console.log(`ok ${name}`);
}
