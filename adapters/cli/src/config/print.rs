//! Printing of settings as a file that reads back to the same settings.

use std::fmt::Display;
use std::path::Path;

use super::keys::{ConfigKey, KEYS};
use super::settings::{Serial, ServeSettings};

impl ServeSettings {
    /// Returns all settings as TOML, each with its help. Read as a file, the text gives these
    /// settings again; paths are absolute, so the file may be anywhere.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = "# What this gateway runs with. An option of `handfast serve` beats what stands here.\n\n".to_owned();
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
    let (help, name) = (key.help, key.name);
    let option = if key.option.is_empty() { String::new() } else { format!(" (--{})", key.option) };
    match (key.show)(settings) {
        Some(value) => format!("# {help}{option}\n{name} = {value}\n"),
        None => format!("# {help}{option}\n# {name} =\n"),
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
