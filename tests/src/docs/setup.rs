//! A page's configuration, redirected to the provider of the examples, and its requests, shown with
//! the URLs of the page.

use std::net::SocketAddr;

use streamgate_core::config::Config;
use streamgate_core::target::Dialect;
use toml::{Table, Value};

use crate::provider::wire::Request;
use crate::scenario::SECRETS;

/// Headers that do not depend on the protocol.
const HIDDEN: [&str; 5] = ["host", "content-length", "connection", "accept-encoding", "user-agent"];

/// What is served in place of a page's configuration.
pub(super) struct Setup {
    pub(super) config: String,
    /// Each provider's base URL, as the page has it and as it is served.
    bases: Vec<[String; 2]>,
    /// The environment variable that the page names.
    key: Option<String>,
}

impl Setup {
    pub(super) fn of(config: &str, provider: SocketAddr) -> Result<Self, String> {
        Config::parse(config, |_| Some("key".into())).map_err(|error| error.to_string())?;
        let mut table: Table = config.parse().map_err(|error| format!("{error}"))?;
        let mut setup = Self { config: String::new(), bases: Vec::new(), key: None };
        let providers = table.get_mut("providers").and_then(Value::as_table_mut);
        for (_, configured) in providers.into_iter().flatten() {
            if let Some(configured) = configured.as_table_mut() {
                setup.lead(configured, provider);
            }
        }
        setup.config = table.to_string();
        Ok(setup)
    }

    fn lead(&mut self, configured: &mut Table, provider: SocketAddr) {
        let Some(base) = configured.get("base_url").and_then(Value::as_str) else { return };
        let base = base.to_owned();
        let (_, place) = base.split_once("://").unwrap_or_default();
        let served = format!("http://{provider}/{place}");
        // It follows from the host, which differs now.
        if configured.get("protocol").and_then(Value::as_str) == Some("openai") {
            let dialect = Dialect::at(&base).name.into();
            configured.entry("dialect").or_insert(Value::String(dialect));
        }
        configured.insert("base_url".into(), served.clone().into());
        self.bases.push([base.clone(), format!("/{place}")]);
        let key = configured.get_mut("api_key").and_then(Value::as_table_mut);
        if let Some(name) = key.and_then(|key| key.get_mut("env")) {
            self.key = name.as_str().map(str::to_owned);
            *name = SECRETS[0].0.into();
        }
    }

    /// The request as it would have been sent.
    pub(super) fn show(&self, request: &Request) -> String {
        let base = self.bases.iter().find(|[_, path]| request.path.starts_with(path));
        let url = base.map(|[url, path]| request.path.replacen(path, url, 1)).unwrap_or_default();
        let mut text = format!("{} {url}\n", request.method);
        for (name, value) in &request.headers {
            if !HIDDEN.contains(&name.as_str()) {
                let key = self.key.as_deref().unwrap_or_default();
                text += &format!("{name}: {}\n", value.replace(SECRETS[0].1, &format!("${key}")));
            }
        }
        format!("{text}\n{}\n", String::from_utf8_lossy(&request.body))
    }
}
