// The Worker's IO. What is to be done is decided in Rust: an `Exchange` (src/exchange.rs) tells its
// `Wire` to fetch, to write, to sleep, and the wire tells it what happened. Nothing here reads a byte
// of what passes through.
//
// This half is JavaScript because a token's cost at the edge is promises and stream calls, which are
// cheapest where they live, and because it must outlast a trap of the wasm half.

import { Exchange } from "streamgate-edge";
import { Client } from "./client.mjs";
import { joined } from "./bytes.mjs";
import { instance, survive } from "./instance.mjs";

export { Quota } from "./quota.mjs";

// Unsent bytes of one answer at which its provider is no longer read.
const UNSENT_BYTES_MAX = 64 * 1024;
// One read of a provider takes at most this; it begins small, for most chunks are.
const READ_BYTES_MIN = 4 * 1024;
const READ_BYTES_MAX = 64 * 1024;
// How long a key set, a user's quota and the store are waited for.
const KEYS_MS_MAX = 5000;
const QUOTA_MS_MAX = 2000;
const STORE_MS_MAX = 3000;
// setTimeout takes no more.
const SLEEP_MS_MAX = 2 ** 31 - 1;
// For a client that left before its response began: it will not see it.
const CLIENT_CLOSED_REQUEST = 499;

export default {
  fetch(request, env, ctx) {
    return new Wire(request, env, ctx).response;
  },
};

/** The IO of one exchange. Its public methods are for Rust, which calls them within a step. */
class Wire {
  /** A promise of the response. */
  response;

  #request;
  #env;
  #exchange;
  #instance = instance;
  #respond;
  #release;
  #client;
  #calls = new Map();
  #timer;
  #quota;
  // What is to be done even if nobody waits for it.
  #behind = [];
  #over = false;

  constructor(request, env, ctx) {
    this.#request = request;
    this.#env = env;
    this.response = new Promise((resolve) => (this.#respond = resolve));
    // Without it the runtime may drop what is still to be done once the client left.
    ctx.waitUntil(new Promise((resolve) => (this.#release = resolve)));
    // Comes at once, also while the provider is silent and no write could fail.
    request.signal.addEventListener("abort", () => this.#hangup());
    this.#step(() => {
      this.#exchange = new Exchange(this);
      this.#exchange.begin(Date.now(), request.method, new URL(request.url).pathname);
    });
  }

  // --- configuration ----------------------------------------------------------------------------

  /** A variable or secret of the Worker, if it is a text. */
  variable(name) {
    const value = this.#env[name];
    return typeof value === "string" ? value : undefined;
  }

  /** Whether that is the binding of a database. */
  has_database(binding) {
    return typeof this.#env[binding]?.batch === "function";
  }

  /** Fills this with random bytes. */
  random(bytes) {
    crypto.getRandomValues(bytes);
  }

  // --- the store --------------------------------------------------------------------------------

  /** Runs a batch as one transaction, and tells what came of it. */
  async query(binding, batch) {
    let rows, why;
    try {
      rows = await this.#batch(binding, batch);
    } catch (error) {
      why = String(error?.message ?? error);
    }
    this.#step((exchange) => exchange.found(Date.now(), rows, why));
  }

  /** The same for what nobody waits for. */
  keep(binding, batch) {
    const log = (error) => this.log(JSON.stringify({ message: "not kept", detail: String(error) }));
    this.#behind.push(this.#batch(binding, batch).catch(log));
  }

  // A batch is `[[text, [value, ...]], ...]`; its answer has of each statement the rows, of each row
  // the values.
  async #batch(binding, batch) {
    const database = this.#env[binding];
    const statements = JSON.parse(batch).map(([text, values]) => database.prepare(text).bind(...values));
    const answers = await within(STORE_MS_MAX, database.batch(statements));
    return JSON.stringify(answers.map(({ results }) => results.map(Object.values)));
  }

  // --- who asks ---------------------------------------------------------------------------------

  /** A header of the request. */
  header(name) {
    return this.#request.headers.get(name) ?? undefined;
  }

  /** Gets a key set, if it is no longer than that. */
  async fetch_keys(url, bytes_max) {
    let body, why;
    try {
      const signal = AbortSignal.timeout(KEYS_MS_MAX);
      const answer = await fetch(url, { redirect: "manual", signal });
      if (answer.status !== 200) throw new Error(`the answer has status ${answer.status}`);
      body = await read(answer.body, bytes_max);
      if (!body) throw new Error(`it is longer than ${bytes_max} bytes`);
    } catch (error) {
      why = String(error?.message ?? error);
    }
    this.#step((exchange) => exchange.fetched(Date.now(), body, why));
  }

  /** Tells a user's quota what an answer does, if there is one for all isolates. */
  enter(user, entry) {
    const quotas = this.#env.QUOTA;
    if (!quotas) return false;
    // In order: they are calls of one stub.
    this.#quota ??= quotas.get(quotas.idFromName(user));
    this.#behind.push(this.#enter(entry));
    return true;
  }

  async #enter(entry) {
    let said;
    try {
      const signal = AbortSignal.timeout(QUOTA_MS_MAX);
      const answer = await this.#quota.fetch("https://quota/", { method: "POST", body: entry, signal });
      if (answer.ok) said = await answer.text();
    } catch {}
    this.#step((exchange) => exchange.entered(Date.now(), said));
  }

  // --- the client -------------------------------------------------------------------------------

  /** Reads the request's body, if it is no longer than that. */
  async receive(bytes_max) {
    let body;
    try {
      body = await read(this.#request.body, bytes_max);
    } catch {
      return this.#hangup();
    }
    this.#step((exchange) => exchange.ask(Date.now(), body));
  }

  /** Sends a whole response. */
  respond(status, headers, body) {
    // No bytes are no body: an answer to HEAD must not have one.
    const bytes = body.length > 0 ? body.slice() : null;
    this.#respond(new Response(bytes, { status, headers: sendable(headers) }));
  }

  /** Sends a response's head; `write` sends its body. */
  open(status, headers) {
    const { readable, writable } = new IdentityTransformStream();
    this.#client = new Client(writable.getWriter(), () => this.#hangup());
    this.#respond(new Response(readable, { status, headers: sendable(headers) }));
  }

  /** Sends more of the body. */
  write(bytes) {
    this.#client.write(bytes.slice());
  }

  /** Ends the response: the exchange is over. */
  finish() {
    this.#close();
    // Changes nothing where a response was sent.
    this.#respond(new Response(null, { status: CLIENT_CLOSED_REQUEST }));
    Promise.allSettled([this.#client?.end(), ...this.#behind]).then(this.#release);
  }

  // --- providers --------------------------------------------------------------------------------

  /** Begins a call; what is told of it carries its number. */
  call(number, url, headers, body) {
    const controller = new AbortController();
    this.#calls.set(number, controller);
    this.#run(number, url, {
      method: "POST",
      headers: pairs(headers),
      body: body.slice(),
      // The key would follow to wherever it leads.
      redirect: "manual",
      signal: controller.signal,
    });
  }

  /** Stops a call at once. */
  cancel(number) {
    this.#calls.get(number)?.abort();
    this.#calls.delete(number);
  }

  async #run(number, url, init) {
    try {
      const answer = await fetch(url, init);
      const headers = [...answer.headers].flat();
      this.#step((exchange) => exchange.head(number, Date.now(), answer.status, headers));
      if (answer.body) await this.#read(number, answer.body.getReader({ mode: "byob" }));
      this.#step((exchange) => exchange.end(number, Date.now()));
    } catch (error) {
      this.#step((exchange) => exchange.lost(number, Date.now(), String(error?.message ?? error)));
    }
  }

  // One buffer goes back and forth: the runtime fills it, Rust takes a copy.
  async #read(number, reader) {
    let buffer = new ArrayBuffer(READ_BYTES_MIN);
    while (this.#calls.has(number)) {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done) return;
      this.#step((exchange) => exchange.bytes(number, Date.now(), value));
      // What follows the end of an answer is not wanted.
      if (this.#over) return this.cancel(number);
      const full = value.byteLength === value.buffer.byteLength;
      buffer = full ? new ArrayBuffer(Math.min(2 * value.byteLength, READ_BYTES_MAX)) : value.buffer;
      if (this.#client?.unsent > UNSENT_BYTES_MAX) await this.#pause();
    }
  }

  // The client reads slower than the provider writes, so the provider has to wait.
  async #pause() {
    this.#step((exchange) => exchange.pause(Date.now()));
    await this.#client.sent();
    this.#step((exchange) => exchange.resume(Date.now()));
  }

  // --- time and log -----------------------------------------------------------------------------

  /** Asks for a tick after that time, in place of the one asked for before. */
  sleep(ms) {
    clearTimeout(this.#timer);
    const tick = () => this.#step((exchange) => exchange.tick(Date.now()));
    this.#timer = setTimeout(tick, Math.min(ms, SLEEP_MS_MAX));
  }

  log(line) {
    console.log(line);
  }

  // --- steps ------------------------------------------------------------------------------------

  #hangup() {
    this.#step((exchange) => exchange.hangup(Date.now()));
  }

  // The one way into Rust. Who is served by an instance that trapped finds out at its own next step:
  // no request may touch another's streams.
  #step(take) {
    if (this.#over) return;
    if (this.#instance !== instance) return this.#fail();
    survive(() => {
      take(this.#exchange);
      if (this.#over) this.#exchange.free();
    });
    if (this.#instance !== instance) this.#fail();
  }

  // A response that has begun is cut, so that it does not look finished.
  #fail() {
    this.#close();
    for (const number of this.#calls.keys()) this.cancel(number);
    this.#client?.cut();
    const error = { message: "The gateway failed.", type: "server_error", code: "internal_error" };
    this.#respond(Response.json({ error }, { status: 500 }));
    this.#release();
  }

  #close() {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}

/** What a stream holds, if it is no longer than that. */
async function read(stream, bytes_max) {
  const chunks = [];
  let length = 0;
  for await (const chunk of stream ?? []) {
    length += chunk.byteLength;
    if (length > bytes_max) return undefined;
    chunks.push(chunk);
  }
  return joined(chunks, length);
}

/** What comes of a promise, if it comes in time. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** `[name, value, name, value]` as `[[name, value], [name, value]]`. */
function pairs(flat) {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : []));
}

/** The same as headers. A name of the configuration may hold what no header can: it goes unsaid. */
function sendable(flat) {
  const headers = new Headers();
  for (const [name, value] of pairs(flat)) {
    try {
      headers.append(name, value);
    } catch {}
  }
  return headers;
}
