//! `[models."PREFIX*"]`: one entry for all names that begin so.

use std::sync::Arc;

use super::{Model, Target};
use crate::limit::catalogue;

/// What stands for the rest of a name.
pub(super) const REST: char = '*';

/// The models whose names begin alike.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What their names begin with.
    prefix: String,
    /// Its targets' names may have [`REST`] in them.
    model: Model,
}

impl Pattern {
    /// What `name` means if it is a pattern, which has [`REST`] at its end.
    pub(crate) fn new(name: &str, model: Model) -> Result<Self, Model> {
        match name.strip_suffix(REST) {
            Some(prefix) => Ok(Self { prefix: prefix.to_owned(), model }),
            None => Err(model),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> String {
        format!("{}{REST}", self.prefix)
    }

    /// How much of a name it fixes: who fixes more is asked first.
    pub(crate) fn prefix_bytes(&self) -> usize {
        self.prefix.len()
    }

    /// Its targets, as they are written.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.model.targets
    }

    /// The model of this name, if it is one of the pattern's.
    pub(crate) fn model(&self, name: &str) -> Option<Model> {
        let rest = name.strip_prefix(&self.prefix)?;
        // What the prefix has before a slash tells which entry is meant, and is no part of a name
        // at the provider.
        let whole = &name[self.prefix.rfind('/').map_or(0, |slash| slash + 1)..];
        let targets = self.model.targets.iter().map(|target| named(target, whole, rest));
        Some(Model { targets: targets.collect() })
    }
}

/// The target for one name. [`REST`] alone is the `whole` name, else the `rest` after the prefix.
fn named(target: &Arc<Target>, whole: &str, rest: &str) -> Arc<Target> {
    if !target.model.contains(REST) {
        return target.clone();
    }
    let is_alone = target.model.len() == REST.len_utf8();
    let model = target.model.replace(REST, if is_alone { whole } else { rest });
    let listed = catalogue::find(&target.provider.name, &model);
    Arc::new(Target { model, listed, ..Target::clone(target) })
}
