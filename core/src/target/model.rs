//! `[models.NAME]` as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Model, Provider, Target};
use crate::limit::catalogue;
use crate::toml::{Document, Error, one_of};

/// The text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelEntry {
    targets: Spanned<Vec<Spanned<String>>>,
    max_output_tokens: Option<std::num::NonZeroU32>,
    context_window: Option<std::num::NonZeroU32>,
}

impl ModelEntry {
    pub(crate) fn resolve(
        self,
        document: &Document<'_>,
        providers: &BTreeMap<String, Arc<Provider>>,
    ) -> Result<Model, Error> {
        let (max_output_tokens, context_window) =
            (self.max_output_tokens.map(Into::into), self.context_window.map(Into::into));
        let start = self.targets.span().start;
        let targets = self
            .targets
            .into_inner()
            .iter()
            .map(|written| {
                let (provider, model) = target(written, document, providers)?;
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
