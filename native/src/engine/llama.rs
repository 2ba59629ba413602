//! The one llama.cpp of the process: its start, its log, and its errors on this thread.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_sys_2 as sys;

/// How many error lines are kept until they are asked for.
const ERROR_LINES_MAX: usize = 8;

/// The target of llama.cpp's lines in the log: `RUST_LOG=llama=trace` shows all of them.
const TARGET: &str = "llama";

thread_local! {
    static LOGGED: RefCell<Logged> = const { RefCell::new(Logged::new()) };
}

/// Starts llama.cpp once, with its log going to `tracing`.
pub(super) fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        // SAFETY: `on_log` has the signature llama.cpp asks for, keeps no pointer it is given,
        // and needs no user data.
        unsafe { sys::llama_log_set(Some(on_log), std::ptr::null_mut()) };
        LlamaBackend::init().expect("nothing else in this process starts llama.cpp")
    })
}

/// Held while a model is loaded or a context is made: llama.cpp must do neither twice at once.
pub(super) fn loading() -> MutexGuard<'static, ()> {
    static LOADING: Mutex<()> = Mutex::new(());
    LOADING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first error that llama.cpp reported on this thread since the last call, and forgets all.
pub(super) fn first_error() -> Option<String> {
    LOGGED.with_borrow_mut(|logged| std::mem::take(&mut logged.errors).into_iter().next())
}

/// Values per block and bytes per block of a tensor type; none for an unknown type.
pub(super) fn tensor_block(number: u32) -> Option<(u64, u64)> {
    let number = Some(number).filter(|&number| number < sys::GGML_TYPE_COUNT)?;
    // SAFETY: both read a constant table that has `GGML_TYPE_COUNT` rows.
    let (block, bytes) = unsafe { (sys::ggml_blck_size(number), sys::ggml_type_size(number)) };
    let block = u64::try_from(block).ok().filter(|&block| block > 0)?;
    Some((block, bytes as u64))
}

/// What llama.cpp logged on one thread.
struct Logged {
    /// A line that is not ended yet, and its level.
    line: String,
    level: sys::ggml_log_level,
    errors: Vec<String>,
}

impl Logged {
    const fn new() -> Self {
        Self { line: String::new(), level: sys::GGML_LOG_LEVEL_NONE, errors: Vec::new() }
    }

    fn receive(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.level = level;
        }
        for part in text.split_inclusive('\n') {
            self.line.push_str(part.trim_end_matches('\n'));
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        match self.level {
            _ if line.is_empty() => {}
            sys::GGML_LOG_LEVEL_ERROR => {
                tracing::debug!(target: TARGET, "{line}");
                if self.errors.len() < ERROR_LINES_MAX {
                    self.errors.push(without_function(&line).to_string());
                }
            }
            sys::GGML_LOG_LEVEL_WARN => tracing::debug!(target: TARGET, "{line}"),
            _ => tracing::trace!(target: TARGET, "{line}"),
        }
    }
}

/// The callback that llama.cpp logs through.
unsafe extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a string that ends with NUL and lives through the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Re-entered or after the thread's locals are gone: the line is lost, the process lives.
    let _ = LOGGED.try_with(|logged| {
        if let Ok(mut logged) = logged.try_borrow_mut() {
            logged.receive(level, &text);
        }
    });
}

/// llama.cpp begins most lines with the name of the function that logs them.
fn without_function(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_by_whole_lines() {
        let mut logged = Logged::new();
        logged.receive(sys::GGML_LOG_LEVEL_INFO, "loading\n");
        logged.receive(sys::GGML_LOG_LEVEL_ERROR, "llama_model_load: error loading");
        logged.receive(sys::GGML_LOG_LEVEL_CONT, " model: missing tensor\nsecond\n");
        assert_eq!(logged.errors, ["error loading model: missing tensor", "second"]);
    }

    #[test]
    fn only_a_function_name_is_cut() {
        assert_eq!(without_function("gguf_init: bad magic"), "bad magic");
        assert_eq!(without_function("no such thing: x"), "no such thing: x");
    }
}
