//! `docs/faults.md`: the numbers that scenarios and tests cite, held against the tests that do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::gateway::root;
use crate::scenario::{self, Scenario};

const TABLE: &str = "docs/faults.md";
/// Where comments cite numbers, besides scenarios.
const SOURCES: [&str; 4] = ["core/src", "native/src", "tests/tests", "tests/benches"];

/// Compares the table with what is cited; with `UPDATE_EXPECT` it rewrites the tests' column.
///
/// # Errors
///
/// Names every number without a row, and the rows that list other tests than those that cite them.
pub fn check() -> Result<(), String> {
    let path = root().join(TABLE);
    let table = std::fs::read_to_string(&path).map_err(|error| format!("{TABLE}: {error}"))?;
    let cited = cited()?;
    let rows: BTreeSet<_> = table.lines().filter_map(number).collect();
    let missing: Vec<_> = cited.keys().filter(|number| !rows.contains(number.as_str())).collect();
    if !missing.is_empty() {
        return Err(format!("{TABLE} has no row for {missing:?}"));
    }
    let expected: String = table.lines().map(|line| with_tests(line, &cited) + "\n").collect();
    if expected == table {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return std::fs::write(&path, expected).map_err(|error| format!("{TABLE}: {error}"));
    }
    let differing = expected.lines().zip(table.lines()).filter(|(new, old)| new != old);
    let differing: Vec<_> = differing.map(|(new, _)| format!("expected {new}")).collect();
    Err(format!("{TABLE} differs; UPDATE_EXPECT=1 rewrites it:\n{}", differing.join("\n")))
}

/// The number of a row.
fn number(line: &str) -> Option<&str> {
    let cell = line.strip_prefix("| ")?.split(" |").next()?;
    is_number(cell).then_some(cell)
}

/// The row with the tests that cite its number in its last cell; any other line as it is.
fn with_tests(line: &str, cited: &BTreeMap<String, BTreeSet<String>>) -> String {
    let row = line.trim_end_matches('|').rsplit_once('|');
    let (Some(number), Some((others, _))) = (number(line), row) else { return line.to_owned() };
    match cited.get(number) {
        None => format!("{others}| |"),
        Some(tests) => {
            let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
            format!("{others}| {} |", tests.join(", "))
        }
    }
}

/// Each number that is cited, without its sub-case, and by which tests.
fn cited() -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut cited: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut cite = |text: &str, test: &str| {
        for number in numbers(text) {
            cited.entry(number).or_default().insert(test.to_owned());
        }
    };
    let folder = root().join("tests/scenarios");
    for path in scenario::files(&folder).map_err(|error| error.to_string())? {
        for scenario in Scenario::load_all(&path)? {
            cite(&scenario.why, &scenario.name);
        }
    }
    for path in SOURCES.iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let comments = text.lines().filter(|line| line.contains("//") || line.starts_with("why ="));
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        comments.for_each(|line| cite(line, &name));
    }
    Ok(cited)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries
        .map(|entry| entry.path())
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    below.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The numbers in parentheses, as in (F14, F26b), without the letter of a sub-case.
fn numbers(text: &str) -> Vec<String> {
    let parentheses = text.split('(').skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let lists = parentheses.map(|inside| {
        inside.split(", ").map(|name| name.trim_end_matches(|c: char| c.is_ascii_lowercase()))
    });
    let lists = lists.filter(|list| list.clone().all(is_number));
    lists.flatten().map(str::to_owned).collect()
}

/// Whether this is a capital letter and digits.
fn is_number(name: &str) -> bool {
    let digits = name.strip_prefix(|c: char| c.is_ascii_uppercase());
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_lists_in_parentheses() {
        assert_eq!(numbers("so (F14, F26b), and (A1) not (F) nor (see F2)"), ["F14", "F26", "A1"]);
        assert!(numbers("(F14").is_empty());
    }

    #[test]
    fn a_row_names_the_tests_that_cite_it() {
        let cited = BTreeMap::from([("F1".into(), BTreeSet::from(["a".into(), "b".into()]))]);
        for row in ["| F1 | what | where | |", "| F1 | what | where | `old` |"] {
            assert_eq!(with_tests(row, &cited), "| F1 | what | where | `a`, `b` |");
        }
        assert_eq!(with_tests("| F2 | what | `a` |", &cited), "| F2 | what | |");
        assert_eq!(with_tests("|---|---|", &cited), "|---|---|");
    }
}
