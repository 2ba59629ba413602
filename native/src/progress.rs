//! Whether a call to a model is over.

/// Whether a call has more to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something was delivered, and more may follow.
    More,
    /// The call is over.
    Over,
}
