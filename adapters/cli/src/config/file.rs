//! Reader of the configuration file.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::de::DeTable;

use super::ConfigError;
use super::bus::BusUrl;
use super::key::ConfigKey;
use super::keys::{KEYS, SECTIONS};
use super::settings::ServeSettings;
use super::store::{StoreAddress, open_to_others};
use super::value::{ConfigProblem, ConfigValue, TableFields, place, shown, unknown};

/// Maximum size of a file in bytes; any sensible one is far smaller.
const MOST_BYTES: u64 = 1_048_576;

/// Maximum number of problems that are reported at once.
const MOST_NAMED: usize = 20;

/// Tables that may enclose the whole configuration without an effect.
const AROUND: [&str; 2] = ["server", "security"];

/// Reads a file over `settings`.
///
/// # Errors
/// [`ConfigError`] with all problems; the settings are then partly changed.
pub(super) fn apply(path: &Path, settings: &mut ServeSettings) -> Result<(), ConfigError> {
    let name = path.display();
    let text = read(path).map_err(|problem| ConfigError(format!("{name}: {problem}")))?;
    // Relative paths are relative to the file, wherever the gateway is started.
    let base = std::path::absolute(path)
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned))
        .unwrap_or_default();
    let before = (settings.store.take(), settings.bus.take());
    let applied = apply_text(&text, &base, settings).and_then(|()| {
        let has_password = settings.store.as_ref().is_some_and(StoreAddress::has_password)
            || settings.bus.as_ref().is_some_and(BusUrl::has_password);
        match has_password && everybody_may_read(path) {
            true => Err(vec![open_to_others(path)]),
            false => Ok(()),
        }
    });
    settings.store = settings.store.take().or(before.0);
    settings.bus = settings.bus.take().or(before.1);
    applied.map_err(|problems| {
        let lines: Vec<String> =
            problems.into_iter().map(|problem| format!("{name}: {problem}")).collect();
        ConfigError(lines.join("\n"))
    })
}

fn everybody_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("the configuration file cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err("it is a directory, and a configuration file is needed".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is longer than a megabyte, so it is no configuration file".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        format!(
            "it is not UTF-8 at line {}",
            1 + before.iter().filter(|&&byte| byte == b'\n').count()
        )
    })
}

/// Reads the text of a file over `settings`.
///
/// # Errors
/// All problems, in the order of their lines.
pub(super) fn apply_text(
    text: &str,
    base: &Path,
    settings: &mut ServeSettings,
) -> Result<(), Vec<String>> {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let at =
            error.span().map(|span| format!(" at line {}", line(span.start))).unwrap_or_default();
        let what =
            error.span().and_then(|span| text.get(span)).filter(|what| !what.trim().is_empty());
        let what = what.map(|what| format!(": {}", shown(what))).unwrap_or_default();
        vec![format!("it is not TOML{at}; {}{what}", error.message())]
    })?;
    let mut found = Found { base, text, values: Vec::new(), problems: Vec::new() };
    found.top_level(table.get_ref(), "", &AROUND);
    let Found { mut values, mut problems, .. } = found;
    // In the order of the key table, not of the file: the combined effect of two keys must not
    // depend on their order in the file.
    values.sort_by_key(|(number, _)| *number);
    for (number, value) in values {
        if let Some(key) = KEYS.get(number) {
            problems.extend(key.read(settings, &value).err());
        }
    }
    problems.sort_by_key(|problem| problem.offset);
    let more = problems.len().saturating_sub(MOST_NAMED);
    let mut said: Vec<String> = problems
        .iter()
        .take(MOST_NAMED)
        .map(|problem| problem.in_file(line(problem.offset)))
        .collect();
    said.extend((more > 0).then(|| format!("and {more} more")));
    if said.is_empty() { Ok(()) } else { Err(said) }
}

/// The result of a walk over a file: values of known keys, by their index in [`KEYS`], and
/// problems.
struct Found<'a> {
    base: &'a Path,
    text: &'a str,
    values: Vec<(usize, ConfigValue<'a>)>,
    problems: Vec<ConfigProblem>,
}

impl<'a> Found<'a> {
    /// Reads the entries of the top level, or of an enclosing table in `around`.
    fn top_level(&mut self, table: &'a DeTable<'a>, path: &str, around: &[&str]) {
        for (name, value) in table {
            let (inner, offset) = (joined(path, name.get_ref()), name.span().start);
            let section = SECTIONS
                .iter()
                .map(|(section, _)| *section)
                .find(|section| section == name.get_ref());
            let wrapper = around.split_first().filter(|(first, _)| *first == name.get_ref());
            match (section, wrapper, value.get_ref().as_table()) {
                (Some(section), _, Some(table)) => self.section(section, table, &inner),
                (None, Some((_, within)), Some(table)) => self.top_level(table, &inner, within),
                (Some(_), _, None) | (_, Some(_), None) => {
                    let place = place(name.get_ref(), &heading(path));
                    self.problems.push(ConfigProblem::new(
                        place,
                        offset,
                        format!("it must be a table, headed [{inner}]"),
                    ));
                }
                (None, None, _) => self.entry(
                    "",
                    name.get_ref(),
                    offset,
                    ConfigValue::in_file(
                        place(name.get_ref(), &heading(path)),
                        self.base,
                        self.text,
                        value,
                    ),
                    &heading(path),
                ),
            }
        }
    }

    fn section(&mut self, section: &'static str, table: &'a DeTable<'a>, path: &str) {
        let heading = heading(path);
        for field in TableFields::of(table, &heading, self.base, self.text) {
            self.entry(section, field.name, field.offset, field.value, &heading);
        }
    }

    fn entry(
        &mut self,
        section: &str,
        name: &str,
        offset: usize,
        value: ConfigValue<'a>,
        heading: &str,
    ) {
        let known = |key: &ConfigKey| key.section == section && key.name == name;
        let Some(number) = KEYS.iter().position(known) else {
            self.problems.push(stranger(section, name, offset, heading));
            return;
        };
        if self.values.iter().any(|(other, _)| *other == number) {
            self.problems.push(ConfigProblem::new(
                place(name, heading),
                offset,
                "it stands in the file twice",
            ));
            return;
        }
        self.values.push((number, value));
    }
}

/// Returns the problem for a key that is unknown at its place. It may belong to another table, be
/// spelt like its option, or be misspelt.
fn stranger(section: &str, name: &str, offset: usize, heading: &str) -> ConfigProblem {
    let elsewhere = |need: String| {
        ConfigProblem::new(format!("unknown key {}", place(name, heading)), offset, need)
    };
    let as_option = name.replace('_', "-");
    if let Some(key) = KEYS.iter().find(|key| key.name == name || key.option == as_option) {
        return elsewhere(match key.section {
            same if same == section => format!("did you mean `{}`?", key.name),
            "" => format!("did you mean `{}` at the top of the file, before any table?", key.name),
            other => format!("did you mean `{}` in [{other}]?", key.name),
        });
    }
    let tables = SECTIONS.iter().map(|(table, _)| *table).filter(|_| section.is_empty());
    let known: Vec<&str> = KEYS
        .iter()
        .filter(|key| key.section == section)
        .map(|key| key.name)
        .chain(tables)
        .collect();
    unknown(name, heading, offset, &known)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn heading(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("[{path}]") }
}
