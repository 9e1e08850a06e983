//! One given value: words of an option, or a piece of the file. A reader states its requirement,
//! and a value that does not satisfy it becomes a [`ConfigProblem`] that names it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use handfast_core::{Label, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;

/// A problem with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigProblem {
    /// Name of the value in the file; empty for the whole value of an option.
    place: String,
    /// Byte offset in the file.
    pub(super) offset: usize,
    /// The value, if showing it helps.
    shown: Option<String>,
    /// The problem, or the requirement.
    need: String,
}

impl ConfigProblem {
    pub(super) fn new(place: String, offset: usize, need: impl Into<String>) -> Self {
        Self { place, offset, shown: None, need: need.into() }
    }

    /// Extends the requirement by an alternative word.
    pub(super) fn or(self, word: &str) -> Self {
        Self { need: format!("{}, or {word}", self.need), ..self }
    }

    /// Formats the problem as a line about a file.
    pub(super) fn in_file(&self, line: usize) -> String {
        self.said(&format!("{} at line {line}", self.place))
    }

    /// Formats the problem with an option's words. The caller adds the option's name.
    pub(super) fn in_option(&self) -> String {
        if self.place.is_empty() { self.need.clone() } else { self.said(&self.place) }
    }

    /// Formats the problem as a line about a variable of the environment.
    pub(super) fn in_variable(&self, name: &str) -> String {
        if self.place.is_empty() {
            self.said(name)
        } else {
            format!("{name}: {}", self.said(&self.place))
        }
    }

    fn said(&self, place: &str) -> String {
        let is = self.shown.as_ref().map(|shown| format!(" is {shown}")).unwrap_or_default();
        format!("{place}{is}; {}", self.need)
    }
}

/// Maximum number of characters of a value or key that an error repeats.
const MOST_SHOWN: usize = 60;

/// Returns the beginning of a text, safe for a terminal.
pub(super) fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut out = String::new();
    for c in line.chars().take(MOST_SHOWN) {
        if Label::forbids(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    if out.is_empty() || line.len() < text.len() || line.chars().count() > MOST_SHOWN {
        out + "…"
    } else {
        out
    }
}

/// A value and its name.
#[derive(Clone)]
pub(super) struct ConfigValue<'a> {
    place: String,
    /// Directory that relative paths are relative to.
    base: &'a Path,
    raw: ValueSource<'a>,
}

#[derive(Clone, Copy)]
enum ValueSource<'a> {
    /// One word for each time the option was given.
    Words(&'a [String]),
    File {
        source: &'a str,
        value: &'a Spanned<DeValue<'a>>,
    },
}

/// The entries of a table, in the order of the file.
pub(super) struct TableFields<'a>(Vec<TableField<'a>>);

/// An entry of a table.
pub(super) struct TableField<'a> {
    pub(super) name: &'a str,
    /// Byte offset of its name.
    pub(super) offset: usize,
    pub(super) value: ConfigValue<'a>,
}

impl<'a> ConfigValue<'a> {
    pub(super) fn words(words: &'a [String]) -> Self {
        // A typed path is relative to the working directory.
        Self { place: String::new(), base: Path::new(""), raw: ValueSource::Words(words) }
    }

    pub(super) fn in_file(
        place: String,
        base: &'a Path,
        source: &'a str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { place, base, raw: ValueSource::File { source, value } }
    }

    /// Returns the problem for this value with a requirement; it shows the value.
    pub(super) fn wrong(&self, need: impl Into<String>) -> ConfigProblem {
        let (offset, text) = match self.raw {
            ValueSource::Words(words) => (0, words.last().map(String::as_str).unwrap_or_default()),
            ValueSource::File { source, value } => {
                (value.span().start, source.get(value.span()).unwrap_or_default())
            }
        };
        ConfigProblem {
            place: self.place.clone(),
            offset,
            shown: Some(shown(text)),
            need: need.into(),
        }
    }

    /// Returns a problem that does not show the value, because its text would not help.
    pub(super) fn lacks(&self, need: impl Into<String>) -> ConfigProblem {
        ConfigProblem { shown: None, ..self.wrong(need) }
    }

    /// Returns the value as a text; every word of an option is one.
    fn as_text(&self) -> Option<&'a str> {
        match self.raw {
            ValueSource::Words(words) => words.last().map(String::as_str),
            ValueSource::File { value, .. } => value.get_ref().as_str(),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigProblem> {
        self.as_text().ok_or_else(|| self.wrong("it must be a text in quotes"))
    }

    /// Reads a text for people: 1 to `most` bytes, not blank, and without characters that move a
    /// cursor.
    pub(super) fn message(&self, most: usize) -> Result<String, ConfigProblem> {
        let fine = |text: &&str| {
            !text.trim().is_empty() && text.len() <= most && !text.chars().any(Label::forbids)
        };
        let need = format!("it must be a text of 1 to {most} bytes without control characters");
        self.as_text().filter(fine).map(str::to_owned).ok_or_else(|| self.wrong(need))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigProblem> {
        let found = match self.raw {
            ValueSource::Words(words) => words.last().and_then(|word| word.parse().ok()),
            ValueSource::File { value, .. } => value.get_ref().as_bool(),
        };
        found.ok_or_else(|| self.wrong("it must be true or false"))
    }

    pub(super) fn number<N: TryFrom<u64>>(
        &self,
        allowed: RangeInclusive<u64>,
    ) -> Result<N, ConfigProblem> {
        let found = match self.raw {
            ValueSource::Words(words) => words.last().and_then(|word| word.parse().ok()),
            ValueSource::File { value, .. } => value
                .get_ref()
                .as_integer()
                .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok()),
        };
        let fitting = found
            .filter(|number| allowed.contains(number))
            .and_then(|number| N::try_from(number).ok());
        fitting.ok_or_else(|| {
            self.wrong(format!(
                "it must be a whole number from {} to {}",
                allowed.start(),
                allowed.end()
            ))
        })
    }

    /// Reads a duration; in whole seconds, unless `allowed` begins below one.
    pub(super) fn duration(&self, allowed: RangeInclusive<Span>) -> Result<Span, ConfigProblem> {
        let found = match self.raw {
            ValueSource::Words(_) => self.as_text().and_then(duration::parse),
            ValueSource::File { value, .. } => match value.get_ref() {
                DeValue::String(text) => duration::parse(text),
                DeValue::Integer(number) if number.radix() == 10 => {
                    duration::parse(number.as_str())
                }
                DeValue::Float(number) => duration::parse(number.as_str()),
                _ => None,
            },
        };
        let whole = allowed.start().as_millis() >= 1000;
        let fits = |span: &Span| {
            allowed.contains(span) && (!whole || span.as_millis().is_multiple_of(1000))
        };
        let ends = (duration::show(*allowed.start()), duration::show(*allowed.end()));
        found.filter(fits).ok_or_else(|| {
            let whole = if whole { "whole " } else { "" };
            self.wrong(format!(
                "it must be a time from {} to {}, in {whole}seconds or with units as in 1h30m",
                ends.0, ends.1
            ))
        })
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigProblem> {
        let found = self.as_text().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        found.map(|(_, chosen)| *chosen).ok_or_else(|| {
            let quote = |name: &str| {
                if matches!(self.raw, ValueSource::Words(_)) {
                    name.to_owned()
                } else {
                    format!("{name:?}")
                }
            };
            let names: Vec<String> = choices.iter().map(|(name, _)| quote(name)).collect();
            self.wrong(format!("it must be {}", names.join(" or ")))
        })
    }

    pub(super) fn parsed<T>(
        &self,
        need: &str,
        parse: impl Fn(&'a str) -> Option<T>,
    ) -> Result<T, ConfigProblem> {
        self.as_text().and_then(parse).ok_or_else(|| self.wrong(need))
    }

    /// Reads a path; a relative one in a file is relative to the file's directory.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigProblem> {
        let named = self.parsed("it must be a path in quotes", |text| {
            (!text.is_empty() && !text.contains('\0')).then_some(text)
        })?;
        Ok(self.beside(named))
    }

    /// Joins a path to the base directory.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Returns the items of a list. A single item counts as a list of one; an empty word counts as
    /// an empty list, because an option has no other notation for it.
    pub(super) fn items(&self) -> Vec<ConfigValue<'a>> {
        let same = |raw| Self { place: self.place.clone(), base: self.base, raw };
        match self.raw {
            ValueSource::Words([only]) if only.is_empty() => Vec::new(),
            ValueSource::Words(words) => words
                .iter()
                .map(|word| same(ValueSource::Words(std::slice::from_ref(word))))
                .collect(),
            ValueSource::File { source, value } => match value.get_ref() {
                DeValue::Array(items) => {
                    items.iter().map(|value| same(ValueSource::File { source, value })).collect()
                }
                _ => vec![self.clone()],
            },
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.raw, ValueSource::File { value, .. } if value.get_ref().is_array())
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.raw, ValueSource::File { value, .. } if value.get_ref().is_table())
    }

    /// Returns the words of an option, for readers that accept another notation there.
    pub(super) fn as_words(&self) -> Option<&'a [String]> {
        match self.raw {
            ValueSource::Words(words) => Some(words),
            ValueSource::File { .. } => None,
        }
    }

    /// Returns the entries of a table, which is called `table` in errors.
    pub(super) fn fields(&self, table: &str) -> Result<TableFields<'a>, ConfigProblem> {
        match self.raw {
            ValueSource::File { source, value } => match value.get_ref() {
                DeValue::Table(entries) => Ok(TableFields::of(entries, table, self.base, source)),
                _ => Err(self.wrong("it must be a table")),
            },
            ValueSource::Words(_) => Err(self.wrong("it must be a table")),
        }
    }
}

impl<'a> TableFields<'a> {
    /// Collects the entries of a table, which is called `table` in errors; the file itself has an
    /// empty name.
    pub(super) fn of(
        entries: &'a DeTable<'a>,
        table: &str,
        base: &'a Path,
        source: &'a str,
    ) -> Self {
        let mut fields: Vec<TableField<'a>> = entries
            .iter()
            .map(|(name, value)| {
                let (name, offset) = (name.get_ref().as_ref(), name.span().start);
                TableField {
                    name,
                    offset,
                    value: ConfigValue::in_file(place(name, table), base, source, value),
                }
            })
            .collect();
        fields.sort_by_key(|field| field.offset);
        Self(fields)
    }
}

impl<'a> IntoIterator for TableFields<'a> {
    type Item = TableField<'a>;
    type IntoIter = std::vec::IntoIter<TableField<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Returns the name of a key in errors.
pub(super) fn place(name: &str, table: &str) -> String {
    let name = shown(name);
    if table.is_empty() { format!("`{name}`") } else { format!("`{name}` in {table}") }
}

/// Returns the problem for an unknown key, with the most similar known one, or all of them.
pub(super) fn unknown(name: &str, table: &str, offset: usize, known: &[&str]) -> ConfigProblem {
    let need = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys there are {}", known.join(", ")),
    };
    ConfigProblem::new(format!("unknown key {}", place(name, table)), offset, need)
}

/// Returns the known name that was probably meant, by edit distance.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // No known name is as long, and the distance of a huge text would take long to compute.
    if name.len() > 40 {
        return None;
    }
    let name = name.to_lowercase().replace(['-', ' '], "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&name, known);
    let near = known.iter().map(|known| (distance(known), *known)).min()?;
    (near.0 <= 1 + near.1.len() / 4).then_some(near.1)
}
