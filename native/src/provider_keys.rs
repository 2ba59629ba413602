//! `streamgate provider-keys`: maintenance of the users' own provider keys by the operator.

use streamgate_core::config::Config;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::provider_keys;
use streamgate_core::seal::{MasterKeys, NONCE_BYTES};
use streamgate_core::store::{Row, provider_keys as rows};

use crate::startup::StartupError;
use crate::store::Store;

/// The outcome of a rotation.
#[derive(Debug, Default)]
pub(crate) struct Rotated {
    /// Keys that were sealed anew.
    pub(crate) resealed: usize,
    /// Keys left as they were: already current, or changed by their user meanwhile.
    pub(crate) left: usize,
    /// Why others could not be opened, a line each.
    pub(crate) broken: Vec<String>,
}

/// Seals every saved key with the current master key.
pub(crate) fn rotate(config: &Config) -> Result<Rotated, StartupError> {
    let missing = || {
        let what =
            "[store] with url and master_key is expected: there are no saved keys without it";
        StartupError::Config(what.to_owned())
    };
    let configured = config.store.as_ref().ok_or_else(missing)?;
    let master = configured.master_keys.as_ref().ok_or_else(missing)?;
    let (store, _thread) = Store::open(&configured.url)?;
    let impossible = |failure: Failure| StartupError::Io(failure.message().to_owned());
    let listed = store.run_blocking(vec![rows::list()]).map_err(impossible)?;
    let mut rotated = Rotated::default();
    for row in listed.iter().flatten() {
        match reseal(&store, master, row).map_err(impossible)? {
            Ok(true) => rotated.resealed += 1,
            Ok(false) => rotated.left += 1,
            Err(broken) => rotated.broken.push(broken),
        }
    }
    Ok(rotated)
}

/// Whether a key was resealed, or why it cannot be opened. The row is replaced only if it still holds
/// what was opened, so that a key set meanwhile is kept.
fn reseal(store: &Store, master: &MasterKeys, row: &Row) -> Result<Result<bool, String>, Failure> {
    let key = rows::read(row)?;
    match provider_keys::resealed(master, &key, nonce()?) {
        Ok(None) => Ok(Ok(false)),
        Ok(Some(resealed)) => {
            let done = store.run_blocking(vec![rows::reseal(&resealed, &key.sealed)])?;
            Ok(Ok(done.iter().flatten().next().is_some()))
        }
        Err(failure) => Ok(Err(format!("{} of {}: {}", key.provider, key.user, failure.message()))),
    }
}

/// Random, never derived from the clock: a nonce used twice would reveal keys.
fn nonce() -> Result<[u8; NONCE_BYTES], Failure> {
    let mut nonce = [0; NONCE_BYTES];
    match getrandom::fill(&mut nonce) {
        Ok(()) => Ok(nonce),
        Err(error) => Err(Failure::new(Reason::Internal, format!("No random numbers: {error}."))),
    }
}
