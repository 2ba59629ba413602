// What the platform calls, and the Rust instance behind it. After a trap the next call gets a new
// instance, and each Durable Object a new Rust half.

import module from "./index_bg.wasm";
import * as rust from "streamgate-edge";

rust.initSync({ module });

// Counts the instances.
let generation = 0;

// A trap leaves the memory of the instance as it stood, so nobody may enter it again. Wherever Rust
// was called from, its trap arrives here.
function trapped(error) {
  if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) return;
  console.error(JSON.stringify({ message: "trap", error: String(error.stack) }));
  generation += 1;
  rust.__wbg_reset_state();
  for (const notify of rust.Pump.traps) notify();
  rust.Pump.traps.clear();
}

addEventListener("error", ({ error }) => trapped(error));
addEventListener("unhandledrejection", ({ reason }) => trapped(reason));

export default {
  async fetch(request, env, ctx) {
    const { promise, resolve } = Promise.withResolvers();
    rust.Pump.traps.add(resolve);
    const response = await Promise.race([rust.fetch(request, env, ctx), promise]);
    rust.Pump.traps.delete(resolve);
    if (response) return response;
    const error = { message: "Internal gateway error.", type: "server_error", code: "internal_error" };
    return Response.json({ error }, { status: 500 });
  },
};

/** One user's quota. */
export class Quota {
  #state;
  #env;
  #rust;
  #generation;

  constructor(state, env) {
    this.#state = state;
    this.#env = env;
    this.#current();
  }

  fetch(request) {
    return this.#current().fetch(request);
  }

  #current() {
    if (this.#generation !== generation) {
      this.#rust = new rust.Quota(this.#state, this.#env);
      this.#generation = generation;
    }
    return this.#rust;
  }
}
