//! Settings in the environment: `HAYLOFT_SECTION__KEY`, and `HAYLOFT_KEY` outside a section.

use std::path::PathBuf;

use toml::{Table, Value};

use super::{Config, ConfigError, Tls};
use crate::domain::plain_types;

/// Letters by which a name may differ from a setting's and be taken for a slip of the pen. What is further
/// away belongs to somebody else: a script, or Kubernetes, which names the services around a container.
const SLIPS: usize = 2;

/// Read elsewhere.
const OF_THE_COMMAND_LINE: [&str; 3] = ["HAYLOFT_CONFIG", "HAYLOFT_SERVER", "HAYLOFT_TOKEN"];

struct Override {
    variable: String,
    keys: Vec<String>,
    value: Value,
}

impl Override {
    /// How much has to be written otherwise; a section that was left out is little.
    fn far_from(&self, variable: &str) -> usize {
        let key = self.keys.last().map(|key| format!("HAYLOFT_{key}").to_ascii_uppercase());
        let bare = key.map_or(usize::MAX, |key| distance(variable, &key) + 1);
        distance(variable, &self.variable).min(bare)
    }
}

/// The configuration that `table` and the overrides make together: some keys need each other.
pub fn overridden(
    table: &Table,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let known = known();
    let mut overrides = Vec::new();
    for (variable, text) in environment {
        if variable.starts_with("HAYLOFT_") && !OF_THE_COMMAND_LINE.contains(&variable.as_str()) {
            overrides.extend(found(&known, variable, text)?);
        }
    }
    overrides.sort_by(|a, b| a.variable.cmp(&b.variable));
    made(table, overrides.iter()).map_err(|problem| name_cause(table, &overrides, problem))
}

/// Every variable that sets something, with its keys and a value of its type.
fn known() -> Vec<Override> {
    let tls = Some(Tls { certificate: PathBuf::new(), key: PathBuf::new() });
    let all = Config { tls, public_url: Some(String::new()), ..Config::default() };
    let mut known = Vec::new();
    // The built-in values can be written as TOML: a test does it.
    for (key, value) in Table::try_from(all).unwrap_or_default() {
        match value {
            Value::Table(section) => known.extend(section.into_iter().map(|(inner, value)| {
                let variable = format!("HAYLOFT_{key}__{inner}").to_ascii_uppercase();
                Override { variable, keys: vec![key.clone(), inner], value }
            })),
            value => {
                let variable = format!("HAYLOFT_{key}").to_ascii_uppercase();
                known.push(Override { variable, keys: vec![key], value });
            }
        }
    }
    known
}

/// What the variable sets; none when it is nobody's setting, an error when it was meant to be one.
fn found(
    known: &[Override],
    variable: String,
    text: String,
) -> Result<Option<Override>, ConfigError> {
    let Some(of) = known.iter().find(|k| k.variable == variable) else {
        let far = |k: &&Override| k.far_from(&variable);
        let Some(nearest) = known.iter().min_by_key(far) else { return Ok(None) };
        if far(&nearest) > SLIPS && !variable.contains("__") {
            return Ok(None);
        }
        let nearest = &nearest.variable;
        let problem = format!(
            "there is no such setting: is {nearest} meant? (A key of a section is \
             HAYLOFT_SECTION__KEY, with two underscores.)"
        );
        return Err(ConfigError::Environment { variable, problem });
    };
    let value = if of.value.is_str() { Value::String(text) } else { spelled(text) };
    Ok(Some(Override { variable, keys: of.keys.clone(), value }))
}

/// The TOML value that the text spells; other text stays what it is, for the type to refuse.
fn spelled(text: String) -> Value {
    let table = format!("value = {text}").parse::<Table>().ok();
    let value = table.and_then(|mut table| table.remove("value")).filter(|v| !v.is_str());
    value.unwrap_or(Value::String(text))
}

fn made<'a>(
    table: &Table,
    overrides: impl Iterator<Item = &'a Override>,
) -> Result<Config, String> {
    let mut table = table.clone();
    for one in overrides {
        insert(&mut table, &one.keys, one.value.clone());
    }
    // The parser's other words would repeat the value, which may hold a secret.
    table.try_into().map_err(|e: toml::de::Error| plain_types(e.message()))
}

fn insert(table: &mut Table, keys: &[String], value: Value) {
    let mut at = table;
    let Some((last, sections)) = keys.split_last() else { return };
    for section in sections {
        let inner = at.entry(section.as_str()).or_insert_with(|| Value::Table(Table::new()));
        // What was read has been checked: a section is one.
        let Value::Table(inner) = inner else { return };
        at = inner;
    }
    at.insert(last.clone(), value);
}

/// Names the variable without which things would be different.
fn name_cause(table: &Table, overrides: &[Override], problem: String) -> ConfigError {
    let differs = |one: &&Override| {
        let others = overrides.iter().filter(|other| other.variable != one.variable);
        made(table, others).err().as_ref() != Some(&problem)
    };
    match overrides.iter().find(differs) {
        Some(one) => ConfigError::Environment { variable: one.variable.clone(), problem },
        None => ConfigError::Contradiction(problem),
    }
}

/// How many letters have to be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_variable() {
        let known: Vec<String> = known().into_iter().map(|k| k.variable).collect();
        for variable in
            ["HAYLOFT_LISTEN", "HAYLOFT_PUBLIC_URL", "HAYLOFT_TLS__KEY", "HAYLOFT_LOG__LEVEL"]
        {
            assert!(known.iter().any(|k| k == variable), "{variable} is not among {known:?}");
        }
    }

    #[test]
    fn a_distance_counts_letters() {
        assert_eq!(distance("OFF", "OFF"), 0);
        assert_eq!(distance("A_B", "A__B"), 1);
        assert_eq!(distance("SCHEDUEL", "SCHEDULE"), 2);
    }
}
