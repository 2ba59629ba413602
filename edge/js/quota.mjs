// One user's quota, in a Durable Object: the one place all isolates of the Worker ask.

import { enter } from "streamgate-edge";
import { survive } from "./instance.mjs";

const USED = "used";

/** What the user used is a text that only Rust reads, as are what is asked and what is said. */
export class Quota {
  #storage;
  #used;

  constructor(state) {
    this.#storage = state.storage;
    state.blockConcurrencyWhile(async () => (this.#used = await state.storage.get(USED)));
  }

  async fetch(request) {
    const entry = await request.text();
    const entered = survive(() => enter(this.#used, entry, Date.now()));
    if (!entered) return new Response(null, { status: 500 });
    const [used, said, keep] = entered;
    this.#used = used;
    // What a crash loses is a moment's use: nobody waits for the disk.
    if (keep) this.#storage.put(USED, used, { allowUnconfirmed: true });
    return new Response(said);
  }
}
