//! Tests of the file and the options together.

mod declarations;
mod mistakes;
mod precedence;
mod printing;

use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::environment::Environment;
use super::{Options, ServeSettings};

/// Parses the options of `serve`.
fn options(words: &[&str]) -> Result<Options, clap::Error> {
    let command = Options::augment_args(Command::new("serve"));
    let matches = command.try_get_matches_from(std::iter::once(&"serve").chain(words))?;
    Options::from_arg_matches(&matches)
}

/// Returns the settings of options without a file.
fn told(words: &[&str]) -> ServeSettings {
    options(words).unwrap().settings_in(&Environment::default()).unwrap()
}

/// Returns the settings of the file `gateway.toml` with this text and these options.
fn both(text: &str, words: &[&str]) -> Result<ServeSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    read(&path, words).map_err(|error| error.replace(&format!("{}/", folder.path().display()), ""))
}

fn read(path: &Path, words: &[&str]) -> Result<ServeSettings, String> {
    let mut all = vec!["--config", path.to_str().unwrap()];
    all.extend(words);
    let settings = options(&all).unwrap().settings_in(&Environment::default());
    settings.map_err(|error| error.to_string())
}

/// Returns the settings of these variables of the environment and these options.
fn environment(variables: &[(&str, &str)], words: &[&str]) -> Result<ServeSettings, String> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let settings = options(words).unwrap().settings_in(&Environment::of(variables));
    settings.map_err(|error| error.to_string())
}

fn file(text: &str) -> ServeSettings {
    both(text, &[]).unwrap()
}

#[test]
fn the_options_are_consistent() {
    Options::augment_args(Command::new("serve")).debug_assert();
}
