//! The pump of `js/pump.mjs`, which moves the bytes of one response.

use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Promise;
use worker::web_sys::ReadableStream;

use crate::driver::Driver;

#[wasm_bindgen(module = "/js/pump.mjs")]
extern "C" {
    /// Moves the bytes of one response. None of its methods waits.
    #[wasm_bindgen(reexport)]
    pub(crate) type Pump;

    /// A pump that reports to this driver.
    #[wasm_bindgen(constructor)]
    pub(crate) fn new(driver: Driver) -> Pump;

    /// Read a call's body; [`Driver::bytes`], [`Driver::end`] and [`Driver::lost`] follow.
    #[wasm_bindgen(method)]
    pub(crate) fn read(this: &Pump, call: usize, body: ReadableStream);

    /// Read no more of it.
    #[wasm_bindgen(method)]
    pub(crate) fn stop(this: &Pump, call: usize);

    /// Begin the response's body, which [`Pump::write`] fills.
    #[wasm_bindgen(method)]
    pub(crate) fn open(this: &Pump) -> ReadableStream;

    /// Write more of it. Copied before this returns.
    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Pump, bytes: &[u8]);

    /// End it, after what is still to be written.
    #[wasm_bindgen(method)]
    pub(crate) fn end(this: &Pump) -> Promise;
}
