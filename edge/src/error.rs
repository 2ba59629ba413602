//! Errors of the platform, as text for the operator.

use worker::{Error, js_sys};

/// What went wrong, in the platform's words and without the name of a class.
pub(crate) fn message(error: &Error) -> String {
    match error {
        Error::D1(error) => AsRef::<js_sys::Error>::as_ref(error).message().into(),
        Error::UnknownJsError { message, .. } => message.clone(),
        error => error.to_string(),
    }
}
