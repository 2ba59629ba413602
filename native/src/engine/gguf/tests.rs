//! Mutations of a valid file: each must be a typed error, and none may reach llama.cpp.

use std::io::Cursor;

use super::*;
use crate::engine::TINY;

fn check_bytes(bytes: &[u8]) -> Result<Header, EngineError> {
    check(Cursor::new(bytes), bytes.len() as u64)
}

/// Where the value of `key` begins, after its type.
fn value_at(key: &str) -> usize {
    let mut named = (key.len() as u64).to_le_bytes().to_vec();
    named.extend_from_slice(key.as_bytes());
    let found = TINY.windows(named.len()).position(|window| window == named);
    found.unwrap_or_else(|| panic!("the model has no `{key}`")) + named.len() + 4
}

/// The model with `bytes` in place of its own at `at`.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = TINY.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The model with `bytes` as the value of `key`.
fn with(key: &str, bytes: &[u8]) -> Result<Header, EngineError> {
    check_bytes(&patched(value_at(key), bytes))
}

fn assert_broken(result: Result<Header, EngineError>, reason: &str) {
    match result {
        Err(EngineError::Broken { what }) => assert!(what.contains(reason), "{what}"),
        other => panic!("expected a broken file described as `{reason}`, got {other:?}"),
    }
}

#[test]
fn the_models_own_header_is_read() {
    let header = check_bytes(TINY).unwrap();
    assert_eq!(header.architecture, "llama");
    assert_eq!(header.file_bytes, TINY.len() as u64);
    assert!(header.window_tokens >= 256);
    assert!(header.kv_bytes_per_token > 0);
    assert!(header.has_chat_template);
}

#[test]
fn other_files_are_not_gguf() {
    for bytes in [&b""[..], b"GG", b"GGML", b"<html>", b"PK\x03\x04", &[0; 64]] {
        assert_eq!(check_bytes(bytes), Err(EngineError::NotGguf), "{bytes:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    let header_end = TINY.len().min(64 << 10);
    let cuts = (4..header_end).step_by(101).chain([TINY.len() / 2, TINY.len() - 64]);
    for cut in cuts {
        let actual = cut as u64;
        match check_bytes(&TINY[..cut]) {
            Err(EngineError::Truncated { needed_bytes, actual_bytes }) => {
                assert!(actual_bytes == actual && needed_bytes > actual, "cut at {cut}");
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_file_shorter_than_its_header_states_is_truncated() {
    let read = check(Cursor::new(&TINY[..1000]), TINY.len() as u64);
    assert!(matches!(read, Err(EngineError::Truncated { .. })), "{read:?}");
}

#[test]
fn versions_and_counts_are_bounded() {
    assert_broken(check_bytes(&patched(4, &1_u32.to_le_bytes())), "version 1");
    assert_broken(check_bytes(&patched(4, &4_u32.to_le_bytes())), "version 4");
    assert_broken(check_bytes(&patched(4, &3_u32.to_be_bytes())), "big-endian");
    assert_broken(check_bytes(&patched(8, &u64::MAX.to_le_bytes())), "tensor count");
    assert_broken(check_bytes(&patched(8, &0_u64.to_le_bytes())), "no tensors");
    assert_broken(check_bytes(&patched(16, &u64::MAX.to_le_bytes())), "key count");
    assert_broken(check_bytes(&patched(24, &u64::MAX.to_le_bytes())), "string length");
}

#[test]
fn values_that_abort_llama_cpp_are_refused() {
    let integers: [(&str, u32, &str); 9] = [
        ("llama.block_count", 0, "block_count"),
        ("llama.block_count", 900, "block_count"),
        ("llama.block_count", u32::MAX, "block_count"),
        ("llama.context_length", 0, "context_length"),
        ("llama.context_length", u32::MAX, "context_length"),
        ("llama.embedding_length", 0, "embedding_length"),
        ("llama.attention.head_count", 0, "heads"),
        ("llama.attention.head_count_kv", 5, "heads"),
        ("tokenizer.ggml.eos_token_id", 1 << 20, "eos_token_id"),
    ];
    for (key, value, reason) in integers {
        assert_broken(with(key, &value.to_le_bytes()), reason);
    }
    let floats = [
        ("llama.attention.layer_norm_rms_epsilon", f32::NAN),
        ("llama.attention.layer_norm_rms_epsilon", f32::INFINITY),
        ("llama.attention.layer_norm_rms_epsilon", -1.0),
        ("llama.rope.freq_base", f32::NAN),
    ];
    for (key, value) in floats {
        assert_broken(with(key, &value.to_le_bytes()), key);
    }
}

#[test]
fn an_unknown_type_of_value_is_refused() {
    let at = value_at("llama.block_count") - 4;
    assert_broken(check_bytes(&patched(at, &99_u32.to_le_bytes())), "type 99");
    let text = check_bytes(&patched(at, &8_u32.to_le_bytes()));
    assert!(text.is_err(), "a count read as a text: {text:?}");
}

#[test]
fn a_repeated_token_is_refused() {
    // Kind and count of the array, then the first token's length and text.
    let first = value_at("tokenizer.ggml.tokens") + 4 + 8;
    let length = u64::from_le_bytes(TINY[first..first + 8].try_into().unwrap()) as usize;
    let text = &TINY[first + 8..first + 8 + length];
    let second = first + 8 + length;
    let second_length = u64::from_le_bytes(TINY[second..second + 8].try_into().unwrap()) as usize;
    // The second token becomes the first one if both are as long; else a count is enough.
    if second_length == length {
        assert_broken(check_bytes(&patched(second + 8, text)), "token 1 repeats");
    }
    let mut tokens = Vec::new();
    tokens.extend_from_slice(&2_u64.to_le_bytes());
    for _ in 0..2 {
        tokens.extend_from_slice(&1_u64.to_le_bytes());
        tokens.push(b'a');
    }
    let at = value_at("tokenizer.ggml.tokens") + 4;
    assert_broken(check_bytes(&patched(at, &tokens)), "token 1 repeats");
}

#[test]
fn tensors_must_lie_in_the_file_and_have_a_known_type() {
    let name = b"token_embd.weight";
    let at = TINY.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let dimensions = u32::from_le_bytes(TINY[at..at + 4].try_into().unwrap()) as usize;
    let kind = at + 4 + dimensions * 8;
    assert_broken(check_bytes(&patched(at, &5_u32.to_le_bytes())), "5 dimensions");
    assert_broken(check_bytes(&patched(at + 4, &0_u64.to_le_bytes())), "token_embd");
    assert_broken(check_bytes(&patched(at + 4, &u64::MAX.to_le_bytes())), "token_embd");
    assert_broken(check_bytes(&patched(kind, &4_u32.to_le_bytes())), "type 4");
    assert_broken(check_bytes(&patched(kind, &99_u32.to_le_bytes())), "type 99");
    assert_broken(check_bytes(&patched(kind + 4, &3_u64.to_le_bytes())), "aligned");
    let far = check_bytes(&patched(kind + 4, &(1_u64 << 40).to_le_bytes()));
    assert!(matches!(far, Err(EngineError::Truncated { .. })), "{far:?}");
}

#[test]
fn norms_are_of_the_type_that_llama_cpp_computes_with() {
    let name = b"output_norm.weight";
    let at = TINY.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    assert_broken(check_bytes(&patched(at + 4 + 8, &1_u32.to_le_bytes())), "output_norm");
}

#[test]
fn a_token_is_what_stands_before_its_nul() {
    let mut tokens = 2_u64.to_le_bytes().to_vec();
    for token in [*b"a\0b", *b"a\0c"] {
        tokens.extend_from_slice(&3_u64.to_le_bytes());
        tokens.extend_from_slice(&token);
    }
    let at = value_at("tokenizer.ggml.tokens") + 4;
    assert_broken(check_bytes(&patched(at, &tokens)), "token 1 repeats");
}

#[test]
fn no_changed_byte_of_the_header_makes_the_check_panic() {
    let header = TINY.len().min(16 << 10);
    let mut file = TINY.to_vec();
    for at in (0..header).step_by(7) {
        for value in [0x00, 0x7f, 0xff] {
            file[at] = value;
            let _ = check_bytes(&file);
        }
        file[at] = TINY[at];
    }
}
