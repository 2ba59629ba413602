//! How far a call to a model has come.

/// Whether a call has more to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something came, and there may be more.
    More,
    /// Nothing more will come.
    Over,
}
