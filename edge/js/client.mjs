// The way to one client.

import { joined } from "./bytes.mjs";

// What comes within this time of a write comes fast: it waits JOIN_MS for more to share its own. A
// slow stream's tokens all leave at once.
const FAST_MS = 2;
const JOIN_MS = 4;

/**
 * Writes a response's body. A write crosses from JavaScript into the runtime and back, which costs
 * more than all else that is done for a token; so one is under way at most, and what comes meanwhile
 * shares the next.
 */
export class Client {
  #writer;
  #lost;
  #chunks = [];
  #unsent = 0;
  #wrote_at = 0;
  #sending;
  #gone = false;

  /** `lost` is called when the client turns out to have left. */
  constructor(writer, lost) {
    this.#writer = writer;
    this.#lost = lost;
  }

  /** How many bytes wait to be written. */
  get unsent() {
    return this.#unsent;
  }

  /** Writes what is not written yet. */
  async sent() {
    await this.#sending;
  }

  write(bytes) {
    if (this.#gone) return;
    this.#chunks.push(bytes);
    this.#unsent += bytes.byteLength;
    this.#sending ??= this.#send();
  }

  /** Ends the body in good order, behind what is still to be written. */
  async end() {
    await this.#sending;
    await this.#writer.close().catch(() => {});
  }

  /** Breaks the body off. */
  cut() {
    this.#gone = true;
    this.#writer.abort(new Error("The answer broke off.")).catch(() => {});
  }

  async #send() {
    try {
      while (this.#chunks.length > 0) {
        if (Date.now() - this.#wrote_at < FAST_MS) await sleep(JOIN_MS);
        const bytes = this.#take();
        this.#wrote_at = Date.now();
        await this.#writer.write(bytes);
      }
    } catch {
      this.#gone = true;
      this.#take();
      this.#lost();
    }
    this.#sending = undefined;
  }

  #take() {
    const bytes = this.#chunks.length === 1 ? this.#chunks[0] : joined(this.#chunks, this.#unsent);
    this.#chunks = [];
    this.#unsent = 0;
    return bytes;
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
