//! One key of the configuration: its declaration, from which the option, the variable, the entry of
//! the file, the help and the printed line follow.

use super::settings::ServeSettings;
use super::value::{ConfigProblem, ConfigValue};

/// Prefix of the environment's variables.
pub(super) const VARIABLES: &str = "HANDFAST_";

/// The form of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One option with a value.
    One,
    /// A repeatable option with a value each.
    Many,
    /// One option, alone or with `=false`.
    Flag,
}

/// The outcome of checking a value and storing it.
pub(super) type Stored = Result<(), ConfigProblem>;
/// Checks a value and stores it in a field.
pub(super) type Store<T> = Box<dyn Fn(&ConfigValue<'_>, &mut T) -> Stored + Send + Sync>;
/// Returns the value of a field as TOML that reads back; `None` if it is not set.
pub(super) type Show<T> = Box<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// As [`Show`], of the settings: by unique reference, because a field is found in this way.
type ShowKey = Box<dyn Fn(&mut ServeSettings) -> Option<String> + Send + Sync>;

/// The kind of a key's value: how it is read and printed, and what the help calls it.
pub(super) struct Kind<T> {
    pub(super) placeholder: String,
    pub(super) form: Form,
    pub(super) store: Store<T>,
    pub(super) show: Show<T>,
}

/// One key of the file, which is also an option and a variable.
pub(super) struct ConfigKey {
    /// The table of the key; empty for the file's top level.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// Name of the option without its dashes.
    pub(super) option: String,
    /// Placeholder for the option's value in the help.
    pub(super) placeholder: String,
    pub(super) form: Form,
    pub(super) doc: &'static str,
    /// `true` if a running gateway takes a new value over when it reads its file again.
    pub(super) live: bool,
    store: Store<ServeSettings>,
    show: ShowKey,
}

/// Declares a key: its name in the file, the kind of its value, and the field that holds it. The
/// option is called like the key, with dashes, unless it is [renamed](ConfigKey::option).
pub(super) fn key<T: 'static>(
    name: &'static str,
    kind: Kind<T>,
    field: fn(&mut ServeSettings) -> &mut T,
) -> ConfigKey {
    let Kind { placeholder, form, store, show } = kind;
    ConfigKey {
        section: "",
        name,
        option: name.replace('_', "-"),
        placeholder,
        form,
        doc: "",
        live: false,
        store: Box::new(move |value, settings| store(value, field(settings))),
        show: Box::new(move |settings| show(field(settings))),
    }
}

impl ConfigKey {
    /// Sets the text for the help and the printed file.
    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Renames the option, where the key's name alone would be unclear or taken.
    pub(super) fn option(self, option: &str) -> Self {
        Self { option: option.to_owned(), ..self }
    }

    /// Marks a key that a running gateway takes over when it reads its file again.
    pub(super) const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Puts the key into a table.
    pub(super) const fn within(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }

    /// Returns the name of the environment's variable.
    pub(super) fn variable(&self) -> String {
        VARIABLES.to_owned() + &self.option.to_uppercase().replace('-', "_")
    }

    /// Checks a value and stores it in the settings.
    pub(super) fn read(
        &self,
        settings: &mut ServeSettings,
        value: &ConfigValue<'_>,
    ) -> Result<(), ConfigProblem> {
        (self.store)(value, settings)
    }

    /// Returns the value as TOML that reads back; `None` if the key is not set.
    pub(super) fn show(&self, settings: &ServeSettings) -> Option<String> {
        (self.show)(&mut settings.clone())
    }
}
