// The one instance of the wasm half, and what happens when it traps.

import module from "./index_bg.wasm";
import { __wbg_reset_state, initSync } from "streamgate-edge";

initSync({ module });

/** Which instance serves now: what an earlier one began cannot go on. */
export let instance = 0;

/**
 * Steps into Rust. A trap leaves the instance's memory as it stood, so a new instance takes its place
 * for those who come after; the step then has no result.
 */
export function survive(step) {
  try {
    return step();
  } catch (error) {
    console.error(JSON.stringify({ message: "trap", error: String(error?.stack ?? error) }));
    instance += 1;
    __wbg_reset_state();
    return undefined;
  }
}
