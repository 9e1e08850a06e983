//! Variables of the environment: one for each key, named like its option.

use std::ffi::OsString;

use super::key::{Form, VARIABLES};
use super::keys::KEYS;
use super::settings::ServeSettings;
use super::value::{ConfigValue, nearest, shown};

/// Path of the configuration file, unless an option names one.
pub(super) const CONFIG: &str = "HANDFAST_CONFIG";

/// The variables of a process that concern the gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// Returns those of this process.
    pub(super) fn of_this_process() -> Self {
        Self::of(std::env::vars_os())
    }

    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(VARIABLES))?;
            Some((name, value))
        });
        Self(named.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsString> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Reads the variables over `settings`. A variable holds the value of its option; for an option
    /// that may be repeated, one value in each line. Returns one line for each problem.
    pub(super) fn apply(&self, settings: &mut ServeSettings) -> Vec<String> {
        let mut problems = self.misspelt();
        for key in KEYS.iter() {
            let name = key.variable();
            let Some(value) = self.get(&name) else { continue };
            let Some(text) = value.to_str() else {
                problems.push(format!("{name} is not UTF-8"));
                continue;
            };
            let words: Vec<String> = match key.form {
                Form::Many if !text.is_empty() => text.lines().map(str::to_owned).collect(),
                Form::Many | Form::One | Form::Flag => {
                    vec![text.to_owned()]
                }
            };
            if let Err(problem) = key.read(settings, &ConfigValue::words(&words)) {
                problems.push(problem.in_variable(&name));
            }
        }
        problems
    }

    /// Returns a line for each variable that looks like a misspelt one. Others may be for another
    /// program.
    fn misspelt(&self) -> Vec<String> {
        let keys = KEYS.iter().map(|key| key.option.replace('-', "_"));
        let known: Vec<String> = keys.chain(["config".to_owned()]).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let look = |(name, _): &(String, OsString)| {
            let near = nearest(name.strip_prefix(VARIABLES)?, &known)?;
            let meant = format!("{VARIABLES}{}", near.to_uppercase());
            let name = shown(name);
            (name != meant).then(|| {
                format!("unknown variable {name} in the environment; did you mean {meant}?")
            })
        };
        self.0.iter().filter_map(look).collect()
    }
}
