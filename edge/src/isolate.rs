//! What all requests of one isolate share: the gateway of the Worker's configuration, read once, and
//! its store.

use std::cell::OnceCell;

use streamgate_core::config::{Config, Exposure, Reach};
use streamgate_core::failure::{Failure, Reason};
use streamgate_core::gateway::{Gateway, Reply};
use streamgate_core::store::StoreUrl;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Env;

use crate::log;
use crate::store::Store;

/// The configuration's module, as error messages name it.
const CONFIG_FILE: &str = "streamgate.toml";

#[wasm_bindgen(raw_module = "./streamgate.toml")]
extern "C" {
    /// The configuration: a text module, which is deployed with the code.
    #[wasm_bindgen(thread_local_v2, js_name = default)]
    static CONFIG: String;
}

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

/// What requests share, or the response to every request where the configuration cannot be used.
pub(crate) fn shared(env: &Env) -> Result<Isolate, Reply> {
    let read = || configured(env).inspect_err(log::configuration);
    ISOLATE.with(|cell| cell.get_or_init(read).clone()).map_err(|failure| Reply::failure(&failure))
}

fn configured(env: &Env) -> Result<Isolate, Failure> {
    let wrong = |what: &str| Failure::new(Reason::Internal, format!("{CONFIG_FILE}: {what}"));
    let secret = |name: &str| env.secret(name).ok().map(|value| value.to_string());
    let config = CONFIG.with(|text| Config::parse(text, secret));
    let config = config.map_err(|error| wrong(&error.to_string()))?;
    let binding = binding(&config, env).map_err(|what| wrong(&what))?;
    config.check_own_keys(Reach::Edge).map_err(|what| wrong(&what))?;
    match config.exposure(Reach::Edge, false) {
        Exposure::Open => log::open(),
        Exposure::Authenticated | Exposure::Local | Exposure::Unintended => {}
    }
    let gateway = Gateway::new(config);
    let store = binding.map(|binding| Store::new(&binding, gateway.learned().clone()));
    Ok(Isolate { gateway, store })
}

/// The binding of the store, if there is to be one; or what is wrong with it.
fn binding(config: &Config, env: &Env) -> Result<Option<String>, String> {
    let Some(store) = &config.store else { return Ok(None) };
    let StoreUrl::D1(binding) = &store.url else {
        let what = "store.url: a Worker stores its data in D1; expected the name of a D1 binding, \
                    such as \"d1:DB\".";
        return Err(what.to_owned());
    };
    if env.d1(binding).is_err() {
        return Err(format!(
            "store.url: this Worker has no D1 binding `{binding}`; expected one of that name in \
             wrangler.toml, under [[d1_databases]]."
        ));
    }
    Ok(Some(binding.clone()))
}
