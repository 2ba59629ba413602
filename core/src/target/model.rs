//! `[models.NAME]` as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::pattern::REST;
use super::{Model, Provider, Target, Upstream};
use crate::limit::catalogue;
use crate::toml::{Document, Error, one_of};

/// The text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelEntry {
    targets: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) aliases: Vec<Spanned<String>>,
    max_output_tokens: Option<std::num::NonZeroU32>,
    context_window: Option<std::num::NonZeroU32>,
}

impl ModelEntry {
    /// What it means under `name`, or under one of its aliases.
    pub(crate) fn resolve(
        &self,
        name: &str,
        document: &Document<'_>,
        providers: &BTreeMap<String, Arc<Provider>>,
    ) -> Result<Model, Error> {
        let (max_output_tokens, context_window) =
            (self.max_output_tokens.map(Into::into), self.context_window.map(Into::into));
        let start = self.targets.span().start;
        let targets = self
            .targets
            .get_ref()
            .iter()
            .map(|written| {
                let (provider, model) = target(written, document, providers)?;
                if model.contains(REST) && !takes_rest(name, &provider) {
                    let what = format!("`{}` has no name to put in", written.get_ref());
                    let expected = "`*` only under [models.\"PREFIX*\"], and not for local models";
                    return Err(document.at(written.span().start, "targets", &what, expected));
                }
                let listed = catalogue::find(&provider.name, &model);
                Ok(Arc::new(Target { provider, model, max_output_tokens, context_window, listed }))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        if targets.is_empty() {
            return Err(document.at(start, "targets", "the list is empty", "\"PROVIDER/MODEL\""));
        }
        Ok(Model { targets })
    }
}

/// Whether a target may take its name from the request: a local model's file is known before.
fn takes_rest(name: &str, provider: &Provider) -> bool {
    name.ends_with(REST) && provider.upstream != Upstream::Local
}

/// The provider and the model in "PROVIDER/MODEL"; the model may hold more slashes.
fn target(
    written: &Spanned<String>,
    document: &Document<'_>,
    providers: &BTreeMap<String, Arc<Provider>>,
) -> Result<(Arc<Provider>, String), Error> {
    let start = written.span().start;
    let value = written.get_ref();
    let Some((provider, model)) = value.split_once('/').filter(|(_, model)| !model.is_empty())
    else {
        let what = format!("`{value}` is not a target");
        return Err(document.at(start, "targets", &what, "\"PROVIDER/MODEL\""));
    };
    let Some(provider) = providers.get(provider) else {
        let what = format!("there is no provider `{provider}`");
        return Err(document.at(start, "targets", &what, &one_of(providers.keys())));
    };
    Ok((provider.clone(), model.into()))
}
