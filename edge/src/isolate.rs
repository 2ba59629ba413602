//! What all requests of one isolate share: the gateway of the Worker's configuration, read once.

use std::cell::OnceCell;

use streamgate_core::config::Config;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Gateway, Reply};

use crate::log;
use crate::wire::Wire;

/// The variable that holds the configuration's text.
const CONFIG: &str = "STREAMGATE_CONFIG";

thread_local! {
    static GATEWAY: OnceCell<Result<Gateway, Failure>> = const { OnceCell::new() };
}

/// The gateway or, where the configuration cannot be used, what every request is told.
pub(crate) fn gateway(wire: &Wire) -> Result<Gateway, Reply> {
    let read = || configured(wire).inspect_err(|failure| report(wire, failure));
    GATEWAY.with(|cell| cell.get_or_init(read).clone()).map_err(|failure| Reply::failure(&failure))
}

fn configured(wire: &Wire) -> Result<Gateway, Failure> {
    let Some(text) = wire.variable(CONFIG) else {
        let detail = format!("{CONFIG} is not set: expected the text of a streamgate.toml.");
        return Err(Failure::new(Reason::Internal, detail));
    };
    match Config::parse(&text, |name| wire.variable(name)) {
        Ok(config) if config.store.is_some() => {
            let detail = format!("{CONFIG}: store: only a native server has one.");
            Err(Failure::new(Reason::Internal, detail))
        }
        Ok(config) => {
            if config.auth.is_none() {
                log::open(wire);
            }
            Ok(Gateway::new(config))
        }
        Err(error) => Err(Failure::new(Reason::Internal, format!("{CONFIG}: {error}"))),
    }
}

fn report(wire: &Wire, failure: &Failure) {
    log::configuration(wire, failure.message());
}
