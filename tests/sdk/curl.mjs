// `curl -N` against a running gateway.
//
//   node tests/sdk/curl.mjs http://127.0.0.1:8000
//
// The gateway serves the models of tests/sdk/stage.toml.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";

const STEADY_TEXT = "word ".repeat(20) + "end 👩‍👩‍👧‍👦";
/** The text takes a second; what comes at once is at once on a loaded machine too. */
const GROWTH_MS_MIN = 300;
/** What it ends with where `--fail` is asked for and the status is one of an error. */
const HTTP_ERROR = 22;

const [url] = process.argv.slice(2);

const checks = {
  async "text, event by event"() {
    const { code, reads, data } = await ask("steady");
    assert.equal(code, 0);
    assert.equal(said(data), STEADY_TEXT);
    assert.equal(data.at(-1), "[DONE]");
    const texts = reads.filter(({ text }) => text.includes('"content":"word '));
    assert.ok(texts.length > 2, `it came in ${texts.length} reads`);
    assert.ok(texts.at(-1).at - texts[0].at > GROWTH_MS_MIN, "the text should grow, not come at once");
  },

  async "a tool call"() {
    const { code, data } = await ask("tools");
    assert.equal(code, 0);
    const calls = data.slice(0, -1).flatMap((data) => JSON.parse(data).choices[0]?.delta.tool_calls ?? []);
    assert.equal(calls[0].function.name, "get_weather");
    assert.equal(calls.map((call) => call.function.arguments).join(""), '{"city":"Paris"}');
  },

  async "an error before the first byte is a status"() {
    const shown = await ask("gpt-9", "--write-out", "\n%{http_code}");
    assert.equal(shown.code, 0);
    const [body, status] = shown.text.split("\n");
    assert.equal(status, "404");
    assert.equal(JSON.parse(body).error.code, "model_not_found");
    assert.equal((await ask("gpt-9", "--fail")).code, HTTP_ERROR);
  },

  // The response itself is whole, so curl is content: that the answer is not, only its last event says.
  async "an error in mid-answer is the last event"() {
    const { code, data } = await ask("breaking", "--fail");
    assert.equal(code, 0);
    assert.equal(said(data.slice(0, -1)), "Hello");
    assert.equal(JSON.parse(data.at(-1)).error.code, "connection_lost");
  },
};

/** What curl ended with, what it printed and when, and the data of each event. */
async function ask(model, ...options) {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Hi" }] });
  const headers = ["--header", "content-type: application/json"];
  const args = ["--silent", "--show-error", "-N", "--max-time", "60", ...options, ...headers, "--data", body];
  const curl = spawn("curl", [...args, `${url}/v1/chat/completions`], { stdio: ["ignore", "pipe", "inherit"] });
  const reads = [];
  curl.stdout.setEncoding("utf8").on("data", (text) => reads.push({ at: performance.now(), text }));
  const code = await new Promise((resolve, reject) => curl.on("close", resolve).on("error", reject));
  const text = reads.map((read) => read.text).join("");
  const data = text.split("\n\n").filter((event) => event.startsWith("data: ")).map((event) => event.slice(6));
  return { code, reads, text, data };
}

function said(data) {
  const deltas = data.filter((data) => data !== "[DONE]").map((data) => JSON.parse(data).choices[0]?.delta.content);
  return deltas.join("");
}

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
