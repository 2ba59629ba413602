//! What `js/worker.mjs` does for an exchange.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// The IO of one exchange. None of its methods waits, and what comes of them is told to the
    /// exchange, but for what is known at once.
    pub type Wire;

    /// A variable or secret of the Worker.
    #[wasm_bindgen(method)]
    pub(crate) fn variable(this: &Wire, name: &str) -> Option<String>;

    /// Whether there is a database of that binding's name.
    #[wasm_bindgen(method)]
    pub(crate) fn has_database(this: &Wire, binding: &str) -> bool;

    /// Fill this with random bytes.
    #[wasm_bindgen(method)]
    pub(crate) fn random(this: &Wire, bytes: &mut [u8]);

    /// A header of the request, by its lower-case name.
    #[wasm_bindgen(method)]
    pub(crate) fn header(this: &Wire, name: &str) -> Option<String>;

    /// Get a key set; `Exchange::fetched` is told.
    #[wasm_bindgen(method)]
    pub(crate) fn fetch_keys(this: &Wire, url: &str, bytes_max: usize);

    /// Run a batch in a database; `Exchange::found` is told. One at a time.
    #[wasm_bindgen(method)]
    pub(crate) fn query(this: &Wire, binding: &str, batch: &str);

    /// The same, and nobody is told nor waits.
    #[wasm_bindgen(method)]
    pub(crate) fn keep(this: &Wire, binding: &str, batch: &str);

    /// Tell the quota that all isolates share what an answer does; `Exchange::entered` is told. False
    /// if there is no such quota.
    #[wasm_bindgen(method)]
    pub(crate) fn enter(this: &Wire, user: &str, entry: &str) -> bool;

    /// Read the request's body; `Exchange::ask` is told.
    #[wasm_bindgen(method)]
    pub(crate) fn receive(this: &Wire, bytes_max: usize);

    /// Send a whole response. Headers are names and values in turn.
    #[wasm_bindgen(method)]
    pub(crate) fn respond(this: &Wire, status: u16, headers: Vec<String>, body: &[u8]);

    /// Send a response's head; its body follows.
    #[wasm_bindgen(method)]
    pub(crate) fn open(this: &Wire, status: u16, headers: Vec<String>);

    /// Send more of an opened response's body. Copied before this returns.
    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Wire, bytes: &[u8]);

    /// End the response, if one was opened: the exchange is over and will be told nothing more.
    #[wasm_bindgen(method)]
    pub(crate) fn finish(this: &Wire);

    /// Post to a provider; `Exchange::head`, `bytes`, `end` and `lost` are told, by that number.
    #[wasm_bindgen(method)]
    pub(crate) fn call(this: &Wire, number: usize, url: &str, headers: Vec<String>, body: &[u8]);

    /// Abort a call at once.
    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Wire, number: usize);

    /// Tell `Exchange::tick` after that time. Replaces what was asked before.
    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &Wire, ms: f64);

    /// Write a line of the log.
    #[wasm_bindgen(method)]
    pub(crate) fn log(this: &Wire, line: &str);

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn console_error(line: &str);
}

/// Headers as they cross to JavaScript: names and values in turn.
pub(crate) fn flat(headers: Vec<(impl Into<String>, String)>) -> Vec<String> {
    headers.into_iter().flat_map(|(name, value)| [name.into(), value]).collect()
}
