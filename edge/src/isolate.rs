//! What all requests of one isolate share: the gateway of the Worker's configuration, read once, and
//! its store.

use std::cell::OnceCell;

use streamgate_core::config::Config;
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Gateway, Reply};
use streamgate_core::store::StoreUrl;

use crate::log;
use crate::store::Store;
use crate::wire::Wire;

/// The variable that holds the configuration's text.
const CONFIG: &str = "STREAMGATE_CONFIG";

/// What requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Isolate {
    pub(crate) gateway: Gateway,
    /// What outlives the isolate, where that is configured.
    pub(crate) store: Option<Store>,
}

thread_local! {
    static ISOLATE: OnceCell<Result<Isolate, Failure>> = const { OnceCell::new() };
}

/// What requests share or, where the configuration cannot be used, what every request is told.
pub(crate) fn shared(wire: &Wire) -> Result<Isolate, Reply> {
    let read = || configured(wire).inspect_err(|failure| report(wire, failure));
    ISOLATE.with(|cell| cell.get_or_init(read).clone()).map_err(|failure| Reply::failure(&failure))
}

fn configured(wire: &Wire) -> Result<Isolate, Failure> {
    let Some(text) = wire.variable(CONFIG) else {
        let detail = format!("{CONFIG} is not set: expected the text of a streamgate.toml.");
        return Err(Failure::new(Reason::Internal, detail));
    };
    let wrong = |what: &str| Failure::new(Reason::Internal, format!("{CONFIG}: {what}"));
    let config = Config::parse(&text, |name| wire.variable(name));
    let config = config.map_err(|error| wrong(&error.to_string()))?;
    let binding = binding(&config, wire).map_err(|what| wrong(&what))?;
    if config.auth.is_none() {
        log::open(wire);
    }
    let gateway = Gateway::new(config);
    let store = binding.map(|binding| Store::new(&binding, gateway.learned().clone()));
    Ok(Isolate { gateway, store })
}

/// The binding of the store, if there is to be one; or what is wrong with it.
fn binding(config: &Config, wire: &Wire) -> Result<Option<String>, String> {
    let Some(store) = &config.store else { return Ok(None) };
    let StoreUrl::D1(binding) = &store.url else {
        return Err("store.url: a Worker keeps what it keeps in D1; expected the name of a D1 \
                    binding, such as \"d1:DB\"."
            .into());
    };
    if !wire.has_database(binding) {
        return Err(format!(
            "store.url: this Worker has no D1 binding `{binding}`; expected one of that name in \
             wrangler.toml, under [[d1_databases]]."
        ));
    }
    let users = config.providers.values().find(|provider| provider.user_keys);
    if let (Some(provider), None) = (users, &config.auth) {
        // Whoever reached the Worker could have everybody's calls sent elsewhere.
        return Err(format!(
            "providers.{}.api_key: users' own keys are kept for who is known by name; expected an \
             [auth] table.",
            provider.name
        ));
    }
    Ok(Some(binding.clone()))
}

fn report(wire: &Wire, failure: &Failure) {
    log::configuration(wire, failure.message());
}
