// A server for the chat page alone: the page's own file, and a completion endpoint that does what
// the last message names. No model, no Rust.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const PAGE = new URL("../../core/src/page/chat.html", import.meta.url);
const CSP = readFileSync(new URL("../../core/src/page.rs", import.meta.url), "utf8").match(/"(default-src [^"]*)"/)[1];
const MODELS = ["tiny", "auto"];

const event = (value) => `data: ${JSON.stringify(value)}\n\n`;
const chunk = (delta, finish_reason = null) => event({ id: "c", object: "chat.completion.chunk", model: "tiny", choices: [{ index: 0, delta, finish_reason }] });
const words = (text) => text.match(/\s*\S+/g).flatMap((word) => [chunk({ content: word }), 15]);
const finish = (reason) => chunk({}, reason);
const usage = (tokens) => event({ id: "c", choices: [], usage: { prompt_tokens: 9, completion_tokens: tokens, total_tokens: tokens + 9 } });
const DONE = "data: [DONE]\n\n";
const ROLE = chunk({ role: "assistant", content: "" });
const RESET = Symbol("reset");
/** Waits until the page shows what was sent: a reset takes with it whatever has not been read. */
const SHOWN = Symbol("shown");
const whole = (text, reason = "stop") => [ROLE, 50, ...words(text), finish(reason), usage(text.split(" ").length), DONE];
const error = (status, code, message, headers = {}) => ({ status, headers, pieces: [JSON.stringify({ error: { message, type: code, param: null, code } })] });

const STORY = "Once upon a time a small token left its model and ran down a long wire. " +
  "Behind it came another, and another, each in its place, none of them twice. " +
  "At the end of the wire somebody was reading, and smiled before the story was over.";

const MARKDOWN = `# How it works

A stream has **two ends**, and \`backpressure\` between them. A plain 2 * 3 * 4 stays.

1. The client asks:
   - with fetch
   - and reads
2. The server answers

\`\`\`rust
fn main() {
    println!("**hi**");

}
\`\`\`

HTML is text: <img src=x onerror=alert(1)> <script>alert(2)</script>`;

/** By message: the pieces to send (text, bytes, a pause in ms, a wait for the page, or a reset), with a status and headers if not 200. */
const SCRIPTS = {
  "hello": whole("Hello! I am scripted."),
  "tell me a story": whole(STORY),
  "markdown": [...Array.from(MARKDOWN, (letter) => [chunk({ content: letter }), 2]).flat(), finish("stop"), usage(120), DONE],
  "endless": [ROLE, ...Array.from({ length: 2000 }, (_, i) => [chunk({ content: `${i} and so it goes on, ${i % 9 ? "" : "\n\n"}` }), 10]).flat()],
  "silence": [chunk({ content: "one" }), 600_000],
  "length": whole("one two", "length"),
  "busy": error(503, "overloaded", "All 4 slots are taken.", { "retry-after": "60" }),
  "limited": error(429, "rate_limit_exceeded", "Slow down.", { "retry-after": "Thu, 01 Jan 2099 00:00:00 GMT" }),
  "gone": [RESET],
  "provider down": error(502, "upstream_error", "openai: connection refused"),
  "not even JSON": { status: 500, pieces: ["<h1>Internal Server Error</h1>"] },
  "too long": error(400, "context_length_exceeded", "9000 tokens do not fit into 4096."),
  "no key": error(401, "invalid_api_key", "No key was sent."),
  "error at once": [": waiting\n\n", event({ error: { message: "No slot.", type: "overloaded", code: null } })],
  "error midway": [...words("one two"), event({ error: { message: "openai: idle for 20 s", type: "timeout", code: "upstream_timeout" } }), DONE],
  "error after the end": [...words("one"), finish("stop"), event({ error: { message: "lost", type: "internal", code: 500 } })],
  "cut before content": [ROLE],
  "cut cleanly": words("one two"),
  "cut by reset": [...words("one two"), SHOWN, RESET],
  "cut in an event": [...words("one"), chunk({ content: " two" }).slice(0, -1)],
  "garbage": [...words("one"), "data: {\"choices\": [{\n\n", DONE],
  "empty": [ROLE, finish("stop"), usage(0), DONE],
  "withheld": [ROLE, finish("content_filter"), DONE],
  "filtered": [...words("one"), finish("content_filter"), DONE],
  "reset after the end": [chunk({ content: "one" }, "stop"), SHOWN, RESET],
  "no DONE": [...words("one"), finish("stop")],
  "no finish": [...words("one"), DONE],
  "split characters": Array.from(Buffer.from(whole("añ€🙂z").filter((piece) => typeof piece === "string").join("")), (byte) => Buffer.of(byte)),
};

/** Starts the server: {url, asked() the last request, key() its authorization, closed() when the last answer's client is gone, shown() for the page to say so, close()}. */
export async function misbehave() {
  let asked;
  let key;
  let gone;
  let show;
  const server = createServer(async (request, response) => {
    if (request.url === "/") return page(response);
    if (request.url === "/v1/models") return json(response, 200, { object: "list", data: MODELS.map((id) => ({ id, object: "model", created: 0, owned_by: "local" })) });
    gone = once(response, "close");
    asked = JSON.parse(Buffer.concat(await request.toArray()));
    key = request.headers.authorization;
    // Made before anything is sent: the page may show it while its script still pauses.
    const shown = new Promise((resolve) => (show = resolve));
    await play(script(asked, key), response, shown);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    asked: () => asked,
    key: () => key,
    closed: () => gone,
    shown: () => show(),
    close: () => server.closeAllConnections() ?? server.close(),
  };
}

function page(response) {
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": CSP });
  response.end(readFileSync(PAGE));
}

function json(response, status, value, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}

function script({ model, messages }, key) {
  if (!MODELS.includes(model)) return error(404, "model_not_found", `The model '${model}' does not exist.`);
  const said = messages.at(-1).content;
  if (said === "no key" && key) return whole("Welcome.");
  if (/Continue/.test(said)) return whole("three four");
  return SCRIPTS[said] ?? whole(`I was asked: ${said}`);
}

async function play(script, response, shown) {
  const { status = 200, headers = {}, pieces } = Array.isArray(script) ? { pieces: script } : script;
  const type = status === 200 ? "text/event-stream" : "application/json";
  if (pieces[0] !== RESET) response.writeHead(status, { "content-type": type, "x-stream-id": "s1", ...headers });
  for (const piece of pieces) {
    if (response.destroyed) return;
    if (piece === RESET) return void response.destroy();
    if (piece === SHOWN) await shown;
    else if (typeof piece === "number") await pause(piece, null, { ref: false });
    else response.write(piece);
  }
  response.end();
}
