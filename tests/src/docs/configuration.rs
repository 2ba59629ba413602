//! The configuration reference, compared with the parser both ways: every key that a section accepts
//! has a row, every row's key is accepted, and every default in code font is the parser's own.

use std::collections::BTreeSet;

use streamgate_core::config::Config;
use toml::{Table, Value};

use super::{read_text, tables};

/// The reference, below the root.
pub const PAGE: &str = "docs/reference/configuration.md";

/// A configuration with every section, by the names that the headings use.
const COMPLETE: &str = r#"
server = {}
store = { url = "sqlite:a.db", master_key = { env = "KEY" } }
providers.NAME = { protocol = "openai", base_url = "https://a.example", api_key = { env = "KEY" } }
models.NAME = { targets = ["NAME/m"] }
plans.NAME = {}
timeouts = {}
fallback = { breaker = {} }
limits = {}

[auth]
jwt = { secret = { env = "KEY" } }
keys = [{ sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", user = "ada" }]
"#;

/// 32 bytes in base64: good as a master key, as a shared secret and as an API key.
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A key that no section has.
const UNKNOWN: &str = "no_such_key";

/// One row: a key of a section, and its default if the page gives it in code font alone.
struct Row {
    key: String,
    default: Option<String>,
}

/// Compares the page with the parser.
///
/// # Errors
///
/// Every difference, one per line.
pub fn check() -> Result<(), String> {
    let page = read_text(PAGE)?;
    let complete: Table = COMPLETE.parse().map_err(|error| format!("{error}"))?;
    let plain = parse(&complete)?;
    let mut differences = Vec::new();
    for (heading, rows) in tables(&page) {
        let path = section_path(&heading);
        let rows: Vec<_> = rows.iter().filter_map(|cells| Row::of(cells)).collect();
        differences.extend(compare_keys(&heading, &path, &rows, &complete)?);
        for row in rows {
            let with_default = row.applied(&path, &complete)?;
            if with_default.is_some_and(|table| parse(&table).as_ref() != Ok(&plain)) {
                differences.push(format!("{heading} {}: the default differs", row.key));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// Parses each TOML example of a page as a configuration; one without models gets one.
///
/// # Errors
///
/// Why an example is no configuration.
pub fn check_examples(page: &str) -> Result<(), String> {
    let text = read_text(page)?;
    let parts: Vec<_> = text.split("\n```").collect();
    for example in parts.iter().filter_map(|part| part.strip_prefix("toml\n")) {
        let model = "[providers.p]\nprotocol = \"local\"\n[models.m]\ntargets = [\"p/m\"]\n";
        let model = if example.contains("[models.") { "" } else { model };
        Config::parse(&format!("{example}\n{model}"), |_| Some(SECRET.into()))
            .map_err(|error| format!("{page}: {error}\n{example}"))?;
    }
    Ok(())
}

impl Row {
    /// The row of a table whose first column is a key in code font.
    fn of(cells: &[String]) -> Option<Self> {
        let [key, _type, default, _meaning] = cells else { return None };
        let default = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let default = default.filter(|code| !code.contains('`')).map(str::to_owned);
        Some(Self { key: code(key)?.to_owned(), default })
    }

    /// `complete` with the default written out, if it is exact and not set there.
    fn applied(&self, path: &[String], complete: &Table) -> Result<Option<Table>, String> {
        let Some(default) = &self.default else { return Ok(None) };
        let written = format!("value = {default}").parse::<Table>();
        let written = written.map_err(|error| format!("{}: {error}", self.key))?;
        let mut changed = complete.clone();
        let section = section(&mut changed, path).ok_or_else(|| format!("no section {path:?}"))?;
        if section.contains_key(&self.key) {
            return Ok(None);
        }
        section.insert(self.key.clone(), written["value"].clone());
        Ok(Some(changed))
    }
}

fn compare_keys(
    heading: &str,
    path: &[String],
    rows: &[Row],
    complete: &Table,
) -> Result<Vec<String>, String> {
    let documented: BTreeSet<_> = rows.iter().map(|row| row.key.clone()).collect();
    let accepted = accepted_keys(path, complete).map_err(|error| format!("{heading}: {error}"))?;
    let missing =
        accepted.difference(&documented).map(|key| format!("{heading}: {key} has no row"));
    let unknown = documented.difference(&accepted).map(|key| format!("{heading}: {key} is no key"));
    Ok(missing.chain(unknown).collect())
}

/// The keys of a section, as the parser lists them when it rejects another.
fn accepted_keys(path: &[String], complete: &Table) -> Result<BTreeSet<String>, String> {
    let mut table = complete.clone();
    let section = section(&mut table, path).ok_or_else(|| format!("no section {path:?}"))?;
    section.insert(UNKNOWN.into(), Value::Integer(1));
    let Err(error) = parse(&table) else { return Err("it accepts unknown keys".into()) };
    let (_, expected) = error
        .split_once("expected ")
        .filter(|(what, _)| what.contains(UNKNOWN))
        .ok_or_else(|| format!("it rejects an unknown key with: {error}"))?;
    Ok(expected.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

fn parse(table: &Table) -> Result<String, String> {
    let config = Config::parse(&table.to_string(), |_| Some(SECRET.into()));
    config.map(|config| format!("{config:?}")).map_err(|error| error.to_string())
}

/// `[auth.jwt]` and `[[auth.keys]]` as paths; a heading without brackets is the top level.
fn section_path(heading: &str) -> Vec<String> {
    let name = code(heading).unwrap_or_default().trim_matches(['[', ']']);
    name.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The table at a path; of an array the first one.
fn section<'a>(table: &'a mut Table, path: &[String]) -> Option<&'a mut Table> {
    let Some((first, rest)) = path.split_first() else { return Some(table) };
    let next = match table.get_mut(first)? {
        Value::Array(several) => several.first_mut()?,
        one => one,
    };
    section(next.as_table_mut()?, rest)
}

/// The content of the first code span.
fn code(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}
