#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_tests::simulation::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::provider_stream(bytes));
