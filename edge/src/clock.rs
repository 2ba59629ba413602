//! The time and random bytes, which core takes as arguments.

use std::time::Duration;

use streamgate_core::time::Instant;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Date;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

/// The time, which stands still between IO.
pub(crate) fn now() -> Instant {
    Instant::from_millis(Date::now().as_millis())
}

/// The time since 1970.
pub(crate) fn unix_now() -> Duration {
    Duration::from_millis(Date::now().as_millis())
}

/// Random bytes of the platform.
pub(crate) fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    get_random_values(&mut bytes);
    bytes
}
