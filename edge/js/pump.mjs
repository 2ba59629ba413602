// The bytes of one response: provider -> Rust -> client.
//
// This is JavaScript because a token's cost at the edge is promises and stream calls, which are
// cheapest where they live. It decides nothing and reads no byte of what passes through.

// Unsent bytes of one response at which its provider is no longer read.
const UNSENT_BYTES_MAX = 64 * 1024;
// One read of a provider takes at most this; it begins small, because most chunks are.
const READ_BYTES_MIN = 4 * 1024;
const READ_BYTES_MAX = 64 * 1024;
// A chunk that comes within FAST_MS of a write waits JOIN_MS for more to share its own. The tokens
// of a slow stream all leave at once.
const FAST_MS = 2;
const JOIN_MS = 4;

export class Pump {
  // How to notify each request under way that the Rust instance trapped. Entries only settle a
  // promise, because a request cannot touch the streams of another.
  static traps = new Set();

  #driver;
  #trap;
  #readers = new Map();
  #writer;
  #chunks = [];
  #unsent = 0;
  #wrote_at = 0;
  #sending;
  #closed = false;

  constructor(driver) {
    this.#driver = driver;
    const { promise, resolve } = Promise.withResolvers();
    this.#trap = resolve;
    Pump.traps.add(resolve);
    promise.then(() => this.#abort());
  }

  // One buffer goes back and forth: the runtime fills it, Rust takes a copy.
  async read(call, body) {
    const reader = body.getReader({ mode: "byob" });
    this.#readers.set(call, reader);
    try {
      let buffer = new ArrayBuffer(READ_BYTES_MIN);
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (!this.#readers.has(call)) return;
        // What follows the end of an answer is not wanted; a connection read to its end is reused.
        if (this.#driver === undefined) return done || reader.cancel();
        if (done) return this.#step((driver) => driver.end(call));
        this.#step((driver) => driver.bytes(call, Date.now(), value));
        const full = value.byteLength === value.buffer.byteLength;
        buffer = full ? new ArrayBuffer(Math.min(2 * value.byteLength, READ_BYTES_MAX)) : value.buffer;
        if (this.#unsent > UNSENT_BYTES_MAX) {
          // The client reads slower than the provider writes, so the provider has to wait.
          this.#step((driver) => driver.pause());
          await this.#sending;
          this.#step((driver) => driver.resume());
        }
      }
    } catch (error) {
      if (this.#readers.has(call)) this.#step((driver) => driver.lost(call, String(error?.message ?? error)));
    }
  }

  /** Reads no more of a call: Rust aborts it. */
  stop(call) {
    this.#readers.delete(call);
  }

  /** The response's body, which `write` fills. */
  open() {
    const { readable, writable } = new IdentityTransformStream();
    this.#writer = writable.getWriter();
    return readable;
  }

  // A write crosses into the runtime and back, which costs more than all else that is done for a
  // token. So one is under way at most, and what comes meanwhile shares the next.
  write(bytes) {
    if (this.#closed) return;
    this.#chunks.push(bytes.slice());
    this.#unsent += bytes.byteLength;
    this.#sending ??= this.#send();
  }

  /** Ends the body in good order, after what is still to be written. */
  async end() {
    await this.#sending;
    await this.#writer?.close().catch(() => {});
    this.#close();
  }

  async #send() {
    try {
      while (this.#chunks.length > 0) {
        if (Date.now() - this.#wrote_at < FAST_MS) await new Promise((go) => setTimeout(go, JOIN_MS));
        const bytes = this.#take();
        this.#wrote_at = Date.now();
        await this.#writer.write(bytes);
      }
    } catch {
      this.#closed = true;
      this.#take();
      this.#step((driver) => driver.hangup());
    }
    this.#sending = undefined;
  }

  #take() {
    const [chunks, length] = [this.#chunks, this.#unsent];
    this.#chunks = [];
    this.#unsent = 0;
    if (chunks.length === 1) return chunks[0];
    const joined = new Uint8Array(length);
    chunks.reduce((at, chunk) => (joined.set(chunk, at), at + chunk.byteLength), 0);
    return joined;
  }

  // The one way into Rust. An error there is a trap, here or earlier in another request.
  #step(step) {
    if (this.#driver === undefined) return;
    try {
      step(this.#driver);
    } catch (error) {
      reportError(error);
      this.#abort();
    }
  }

  // Cuts a response that has begun, so that it does not look finished.
  #abort() {
    this.#writer?.abort(new Error("Internal gateway error.")).catch(() => {});
    for (const reader of this.#readers.values()) reader.cancel().catch(() => {});
    this.#readers.clear();
    this.#close();
  }

  #close() {
    Pump.traps.delete(this.#trap);
    this.#driver = undefined;
    this.#closed = true;
  }
}
