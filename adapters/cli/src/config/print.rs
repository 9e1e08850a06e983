//! Printing of settings as a file that reads back to the same settings.

use std::fmt::Display;
use std::path::Path;

use super::key::ConfigKey;
use super::keys::KEYS;
use super::settings::{Serial, ServeSettings};

const HEAD: &str = "# Settings of this gateway. A variable of the environment beats what stands \
                    here, and an\n# option of `handfast serve` beats both.\n\n";

impl ServeSettings {
    /// Returns all settings as TOML, each with its help. Read as a file, the text gives these
    /// settings again; paths are absolute, so the file may be anywhere. Only the passwords of
    /// the database and of the bus are left out, and have to be put back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut section = "";
        for key in KEYS.iter() {
            if key.section != section {
                section = key.section;
                text += &format!("\n[{section}]\n");
            }
            text += &entry(key, self);
        }
        text
    }
}

fn entry(key: &ConfigKey, settings: &ServeSettings) -> String {
    let ConfigKey { doc, name, option, .. } = key;
    let live = if key.live { ", live" } else { "" };
    let faces = format!("--{option}, {}{live}", key.variable());
    match key.show(settings) {
        Some(value) => format!("# {doc} ({faces})\n{name} = {value}\n"),
        None => format!("# {doc} ({faces})\n# {name} =\n"),
    }
}

/// Quotes a text as a TOML string.
pub(super) fn quoted(text: impl Display) -> String {
    let mut out = "\"".to_owned();
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Formats an array of TOML values; tables get a line each.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.iter().any(|item| item.starts_with('{')) {
        return format!("[\n    {},\n]", items.join(",\n    "));
    }
    format!("[{}]", items.join(", "))
}

/// Formats an absolute path.
pub(super) fn path(path: &Path) -> String {
    let full = std::path::absolute(path);
    quoted(full.as_deref().unwrap_or(path).display())
}

/// Formats a serial line. Its speed is always included, so that trailing digits of the path are not
/// mistaken for it.
pub(super) fn line(serial: &Serial) -> String {
    let full = std::path::absolute(&serial.path);
    quoted(format_args!("{}:{}", full.as_deref().unwrap_or(&serial.path).display(), serial.baud))
}
