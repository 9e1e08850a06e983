//! Reader and printer for the tables `[[extension]]`.

use std::path::Path;

use handfast_core::Span;
use handfast_server::extension::{ExtensionConfig, Timeouts, Transport, validate};

use super::duration::{lasting, show_lasting};
use super::keys::{DAY, MILLISECOND};
use super::print::{list, quoted};
use super::tables::from_word;
use super::value::{ConfigProblem, ConfigValue, unknown};

/// Name of an extension's table in errors.
const TABLE: &str = "[[extension]]";
const EXAMPLE: &str = "name = \"mail\", prefix = \"mail\", command = [\"./mail.py\"]";
const TIMEOUTS: &str = "[extension.timeouts]";
const KEYS: [&str; 10] = [
    "name", "prefix", "command", "url", "channels", "admin", "mounts", "metrics", "poll",
    "timeouts",
];
const TIMEOUT_KEYS: [&str; 3] = ["call", "scrape", "poll"];
/// Maximum value of a timeout.
const LONGEST: Span = Span::from_secs(600);

/// Reads an array of tables, or the words of an option, and checks the extensions together.
pub(super) fn extensions(value: &ConfigValue<'_>) -> Result<Vec<ExtensionConfig>, ConfigProblem> {
    if value.as_words().is_none() && !value.is_list() {
        return Err(value.lacks(format!("extensions stand in tables that are each headed {TABLE}")));
    }
    let read = |item: &ConfigValue<'_>| match item.as_words() {
        Some(_) => from_word(item, "the extension", EXAMPLE, extension),
        None => extension(item, TABLE),
    };
    let found: Vec<ExtensionConfig> = value.items().iter().map(read).collect::<Result<_, _>>()?;
    validate(&found).map_err(|error| value.lacks(error.to_string()))?;
    Ok(found)
}

fn extension(value: &ConfigValue<'_>, table: &str) -> Result<ExtensionConfig, ConfigProblem> {
    let (mut name, mut prefix, mut command, mut url) = (None, None, None, None);
    let mut config = ExtensionConfig::http("", "", "");
    for field in value.fields(table)? {
        let value = &field.value;
        match field.name {
            "name" => name = Some(value.text()?),
            "prefix" => prefix = Some(value.text()?),
            "command" => command = Some(words(value)?),
            "url" => url = Some(value.text()?.to_owned()),
            "channels" => config.channels = texts(value)?,
            "admin" => config.admin = texts(value)?,
            "mounts" => config.mounts = texts(value)?,
            "metrics" => config.metrics = value.flag()?,
            "poll" => config.poll = Some(lasting(value.duration(MILLISECOND..=DAY)?)),
            "timeouts" => config.timeouts = timeouts(value)?,
            other => return Err(unknown(other, table, field.offset, &KEYS)),
        }
    }
    let missing = |key: &str| value.lacks(format!("`{key}` is missing"));
    config.name = name.ok_or_else(|| missing("name"))?.to_owned();
    config.prefix = prefix.ok_or_else(|| missing("prefix"))?.to_owned();
    config.transport = match (command, url) {
        (Some(command), None) => Transport::Stdio { command },
        (None, Some(url)) => Transport::Http { url },
        (None, None) => return Err(missing("command` or `url")),
        (Some(_), Some(_)) => {
            return Err(value.lacks("`command` and `url` are both there: an extension is either started or asked over HTTP"));
        }
    };
    config.validate().map_err(|error| value.lacks(error.to_string()))?;
    Ok(config)
}

/// Reads a program and its arguments. A relative program with a slash is relative to the file; any
/// other is searched for in `PATH`.
/// Reads a program with its arguments. The program's path is an absolute one from here on, so that
/// a printed file names it in any directory.
pub(super) fn command(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    Ok(shown(&words(value)?))
}

fn words(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let mut words = texts(value)?;
    if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
        let found = value.beside(program);
        *program = found
            .to_str()
            .ok_or_else(|| value.lacks("the way to the program is not UTF-8"))?
            .to_owned();
    }
    Ok(words)
}

fn texts(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    value.items().iter().map(|item| item.text().map(str::to_owned)).collect()
}

fn timeouts(value: &ConfigValue<'_>) -> Result<Timeouts, ConfigProblem> {
    let mut timeouts = Timeouts::default();
    for field in value.fields(TIMEOUTS)? {
        let within = |value: &ConfigValue<'_>| value.duration(MILLISECOND..=LONGEST).map(lasting);
        match field.name {
            "call" => timeouts.call = within(&field.value)?,
            "scrape" => timeouts.scrape = within(&field.value)?,
            "poll" => timeouts.poll = within(&field.value)?,
            other => return Err(unknown(other, TIMEOUTS, field.offset, &TIMEOUT_KEYS)),
        }
    }
    Ok(timeouts)
}

/// Prints an extension as TOML.
pub(super) fn show_extension(config: &ExtensionConfig) -> String {
    let texts = |texts: &[String]| (!texts.is_empty()).then(|| list(texts.iter().map(quoted)));
    let (command, url) = match &config.transport {
        Transport::Stdio { command } => (Some(list(shown(command).iter().map(quoted))), None),
        Transport::Http { url } => (None, Some(quoted(url))),
    };
    let Timeouts { call, scrape, poll } = config.timeouts;
    let within = [("call", call), ("scrape", scrape), ("poll", poll)]
        .map(|(name, time)| format!("{name} = {}", quoted(show_lasting(time))));
    let entries = [
        ("name", Some(quoted(&config.name))),
        ("prefix", Some(quoted(&config.prefix))),
        ("command", command),
        ("url", url),
        ("channels", texts(&config.channels)),
        ("admin", texts(&config.admin)),
        ("mounts", texts(&config.mounts)),
        ("metrics", config.metrics.then(|| "true".to_owned())),
        ("poll", config.poll.map(|every| quoted(show_lasting(every)))),
        ("timeouts", Some(format!("{{ {} }}", within.join(", ")))),
    ];
    let set = entries
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| format!("{key} = {value}")));
    format!("{{ {} }}", set.collect::<Vec<_>>().join(", "))
}

/// Returns a command with the absolute path of its program, so that it can be read back from a file
/// in any directory.
fn shown(command: &[String]) -> Vec<String> {
    let mut shown = command.to_vec();
    if let Some(program) = shown.first_mut().filter(|program| program.contains('/')) {
        let full = std::path::absolute(Path::new(program.as_str()))
            .ok()
            .and_then(|full| full.to_str().map(str::to_owned));
        *program = full.unwrap_or_else(|| program.clone());
    }
    shown
}
