//! Scenario files: one scenario each, or a family of variants that share what stands outside
//! `[[variant]]`.

use std::path::{Path, PathBuf};

use super::Scenario;
use super::config::merge;

const VARIANT: &str = "variant";

/// All scenario files of a folder, by name.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

impl Scenario {
    /// Reads the only scenario of a file, or the variant `NAME` at `FILE/NAME`.
    pub fn load(path: &Path) -> Result<Self, String> {
        let family = path.parent().filter(|family| family.is_file());
        let variant = family.and(path.file_name()).unwrap_or_default().to_string_lossy();
        let mut scenarios = Self::load_all(family.unwrap_or(path))?;
        if family.is_some() {
            scenarios.retain(|scenario| scenario.name.ends_with(&format!("_{variant}")));
        }
        match scenarios.len() {
            1 => Ok(scenarios.remove(0)),
            0 => Err(format!("{}: there is no variant of that name", path.display())),
            _ => Err(format!("{0}: has variants; name one, as in {0}/NAME", path.display())),
        }
    }

    /// Reads every scenario of a file.
    pub fn load_all(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse_all(&name, &text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Reads a scenario.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.checked(name.into())
    }

    /// Reads a scenario, or its variants: each is the rest of the file with its own keys added, table
    /// by table, and its name appended.
    pub(super) fn parse_all(name: &str, text: &str) -> Result<Vec<Self>, String> {
        let mut base: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
        let Some(variants) = base.remove(VARIANT) else {
            return Ok(vec![Self::parse(name, text)?]);
        };
        let variants: Vec<toml::Table> =
            variants.try_into().map_err(|error| format!("{VARIANT}: {error}"))?;
        variants.into_iter().map(|variant| Self::variant(name, &base, variant)).collect()
    }

    fn variant(family: &str, base: &toml::Table, mut own: toml::Table) -> Result<Self, String> {
        let Some(toml::Value::String(name)) = own.remove("name") else {
            return Err(format!("{VARIANT}: each needs a name"));
        };
        let mut scenario = base.clone();
        merge(&mut scenario, &own);
        let scenario: Result<Self, _> = scenario.try_into();
        scenario
            .map_err(|error| error.to_string())
            .and_then(|scenario| scenario.checked(format!("{family}_{name}")))
            .map_err(|why| format!("{VARIANT} {name}: {why}"))
    }

    fn checked(self, name: String) -> Result<Self, String> {
        self.validate()?;
        Ok(Self { name, ..self })
    }
}
