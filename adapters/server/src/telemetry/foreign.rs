//! Metrics of others, exposed after the gateway's own: Prometheus text of an untrusted source is
//! parsed once, within bounds, and what is safe to pass on is written as OpenMetrics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// Maximum length of the text in bytes; the rest is dropped.
const TEXT_BYTES: usize = 256 * 1024;
/// Maximum length of all written lines of others in bytes.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Maximum length of a line in bytes.
const METRIC_LINE_BYTES: usize = 4096;
/// Maximum number of labels of a sample.
const MOST_LABELS: usize = 32;
/// Suffixes that the samples of a family may have, by its type.
const SUFFIXES: [(&str, &[&str]); 3] = [
    ("histogram", &["_bucket", "_sum", "_count"]),
    ("summary", &["_sum", "_count"]),
    ("counter", &[TOTAL]),
];

/// Suffix of the samples of every counter.
const TOTAL: &str = "_total";

/// The gateway's own families, exposed yet or not.
pub(super) const OWN: [&str; 21] = [
    "handfast_decisions_unstored",
    "handfast_events",
    "handfast_extension_calls",
    "handfast_links",
    "handfast_nodes",
    "handfast_store_failing",
    "handfast_store_write_failures",
    "handfast_waiting_connections",
    "pairing_admit_seconds",
    "pairing_approvals",
    "pairing_bootstrap_tokens_issued",
    "pairing_bootstrap_tokens_verified",
    "pairing_codes_expired",
    "pairing_inbound",
    "pairing_inbound_challenged",
    "pairing_inbound_dropped",
    "pairing_redeem_seconds",
    "pairing_requests_pending",
    "pairing_sessions",
    "pairing_sessions_live",
    "pairing_verify_seconds",
];
/// Suffixes of samples of the gateway's own families, of any type that a family's samples may have.
const OWN_SUFFIXES: [&str; 5] = ["_total", "_created", "_bucket", "_count", "_sum"];

/// Metrics of others, parsed from untrusted text into families, for the gateway's exposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignMetrics(Vec<ForeignFamily>);

/// A family as it is written: its metadata, then its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ForeignFamily {
    name: String,
    kind: Option<&'static str>,
    help: Option<String>,
    samples: Vec<KeptSample>,
}

/// A family while its text is parsed.
#[derive(Default)]
struct ParsedFamily<'a> {
    kind: Option<&'static str>,
    help: Option<&'a str>,
    samples: Vec<KeptSample>,
}

/// A sample that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeptSample {
    name: String,
    line: String,
    /// `true` if its value is possible for a counter.
    counts: bool,
}

impl ForeignMetrics {
    /// Parses text. Returns the well-formed metrics whose names begin with the prefix, and the
    /// number of dropped lines: at most one TYPE and one HELP per family, before its samples, and
    /// each series once.
    ///
    /// TYPE may be counter, gauge, histogram or summary; without one a metric has no type. As in
    /// OpenMetrics, a counter is written without the `_total` that all of its samples have; a
    /// counter that violates these rules becomes `unknown`. Also dropped are: lines with timestamps
    /// or exemplars, label names that begin with `__`, `# EOF`, and everything beyond 256 KiB.
    /// Empty lines and other comments are dropped without being counted.
    #[must_use]
    pub fn parse(text: &str, prefix: &str) -> (Self, u64) {
        let mut dropped = 0;
        let mut end = text.len().min(TEXT_BYTES);
        if end < text.len() {
            dropped += 1;
            end = text.as_bytes()[..end]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
        }
        // The text is cut after a line end, so no character is split.
        let lines = || {
            text.get(..end)
                .unwrap_or_default()
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line))
        };
        let mut families: BTreeMap<&str, ParsedFamily<'_>> = BTreeMap::new();
        // Types are read first, because they decide which family a sample belongs to.
        for line in lines() {
            let Some((what, name, rest)) = comment(line) else { continue };
            let fine = line.len() <= METRIC_LINE_BYTES && is_name(name) && name.starts_with(prefix);
            let taken = fine
                && match what {
                    "TYPE" => kind(rest).is_some_and(|kind| {
                        families.entry(name).or_default().kind.replace_first(kind)
                    }),
                    _ => {
                        is_help(rest) && families.entry(name).or_default().help.replace_first(rest)
                    }
                };
            dropped += u64::from(!taken);
        }
        let owners = owners(&families);
        // A repeated series would make the gateway's whole exposition invalid.
        let mut seen = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut kept: Vec<(String, KeptSample)> = Vec::new();
        for line in lines().filter(|line| !line.trim_ascii().is_empty()) {
            if line.starts_with('#') {
                dropped += u64::from(line.trim_end() == "# EOF");
                continue;
            }
            let sample = (line.len() <= METRIC_LINE_BYTES).then(|| sample(line)).flatten();
            match sample.filter(|sample| {
                sample.name.starts_with(prefix) && seen.insert(sample.series.clone())
            }) {
                Some(sample) => {
                    let family =
                        owners.get(sample.name).cloned().unwrap_or_else(|| sample.name.to_owned());
                    // A counter is a number and never negative.
                    let counts = !sample.value.starts_with('-') && sample.value != "NaN";
                    names.insert(sample.name);
                    kept.push((
                        family,
                        KeptSample {
                            name: sample.name.to_owned(),
                            line: format!("{} {}", sample.series, sample.value),
                            counts,
                        },
                    ));
                }
                None => dropped += 1,
            }
        }
        let mut others: BTreeMap<String, Vec<KeptSample>> = BTreeMap::new();
        for (family, line) in kept {
            match families.get_mut(family.as_str()) {
                Some(family) => family.samples.push(line),
                None => others.entry(family).or_default().push(line),
            }
        }
        let is_free = |name: &str| {
            let begins = name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
            begins && !families.contains_key(name) && !names.contains(name)
        };
        let shown: Vec<_> =
            families.iter().map(|(name, family)| metadata(name, family, &is_free)).collect();
        let mut metrics = Self::default();
        for ((name, kind), mut family) in shown.into_iter().zip(families.into_values()) {
            // An `unknown` family does not cover samples with longer names; sorted to the end, they
            // read as metrics without a type.
            if kind == Some("unknown") {
                family.samples.sort_by_key(|sample| sample.name.len());
            }
            metrics.0.push(ForeignFamily {
                name: name.to_owned(),
                kind,
                help: family.help.map(str::to_owned),
                samples: family.samples,
            });
        }
        let bare = |(name, samples)| ForeignFamily { name, kind: None, help: None, samples };
        metrics.0.extend(others.into_iter().map(bare));
        (metrics, dropped)
    }

    /// Adds the families of others behind these.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Returns the text as it is written.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Writes the families, except those with a name of the gateway's own: nobody changes or
    /// shadows one. Ends at [`MOST_BYTES`].
    pub(super) fn write(&self, out: &mut String) {
        let mut left = MOST_BYTES;
        for family in self.0.iter().filter(|family| !is_own(&family.name)) {
            let ForeignFamily { name, kind, help, samples } = family;
            let help = help.as_ref().map(|help| format!("# HELP {name} {help}"));
            let kind = kind.map(|kind| format!("# TYPE {name} {kind}"));
            let samples = samples.iter().filter(|sample| !is_own(&sample.name));
            let lines = help.into_iter().chain(kind);
            for line in lines.chain(samples.map(|sample| sample.line.clone())) {
                // The text ends between two lines, so that what is written stays valid.
                let Some(rest) = left.checked_sub(line.len() + 1) else { return };
                left = rest;
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
}

fn is_own(name: &str) -> bool {
    OWN.contains(&name)
        || OWN_SUFFIXES
            .iter()
            .any(|suffix| name.strip_suffix(suffix).is_some_and(|family| OWN.contains(&family)))
}

/// Returns the name and the type that a family is written with.
fn metadata<'a>(
    name: &'a str,
    family: &ParsedFamily<'a>,
    is_free: &impl Fn(&str) -> bool,
) -> (&'a str, Option<&'static str>) {
    if family.kind != Some("counter") {
        return (name, family.kind);
    }
    let counts = family.samples.iter().all(|sample| sample.counts);
    match name.strip_suffix(TOTAL) {
        // The name without the suffix must not belong to another metric.
        Some(base) if counts && is_free(base) => (base, family.kind),
        None if counts
            && family.samples.iter().all(|sample| sample.name.ends_with(TOTAL))
            && !family.samples.is_empty() =>
        {
            (name, family.kind)
        }
        Some(_) | None => (name, Some("unknown")),
    }
}

/// Maps the suffixed names of samples to their families.
fn owners(families: &BTreeMap<&str, ParsedFamily<'_>>) -> HashMap<String, String> {
    let mut owners = HashMap::new();
    for (name, family) in families {
        let suffixes = SUFFIXES
            .iter()
            .find(|(kind, _)| family.kind == Some(kind))
            .map_or(&[][..], |(_, suffixes)| suffixes);
        for suffix in suffixes {
            let longer = format!("{name}{suffix}");
            // A family with exactly that name takes precedence.
            if !families.contains_key(longer.as_str()) {
                owners.insert(longer, (*name).to_owned());
            }
        }
    }
    owners
}

/// Parses `# TYPE name rest` and `# HELP name rest`.
fn comment(line: &str) -> Option<(&str, &str, &str)> {
    let rest = line.strip_prefix("# ")?;
    let (what, rest) = rest.split_once(' ').filter(|(what, _)| matches!(*what, "TYPE" | "HELP"))?;
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((what, name, rest))
}

trait ReplaceFirst<T> {
    fn replace_first(&mut self, value: T) -> bool;
}

impl<T> ReplaceFirst<T> for Option<T> {
    /// Sets the value if there is none yet; returns `false` if there is one.
    fn replace_first(&mut self, value: T) -> bool {
        let first = self.is_none();
        if first {
            *self = Some(value);
        }
        first
    }
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns the type of this name.
fn kind(name: &str) -> Option<&'static str> {
    ["counter", "gauge", "histogram", "summary"].into_iter().find(|kind| *kind == name)
}

/// Returns `true` for text without control characters, in which a backslash only begins `\\` or
/// `\n`.
fn is_help(help: &str) -> bool {
    !help.chars().any(char::is_control) && escapes(help, "\\n")
}

fn escapes(text: &str, after: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !characters.next().is_some_and(|next| after.contains(next)) {
            return false;
        }
    }
    true
}

struct Sample<'a> {
    name: &'a str,
    /// The name and its labels in canonical order, as written in the output.
    series: String,
    value: &'a str,
}

/// Parses `name{label="value",…} number`, or the same without labels.
fn sample(line: &str) -> Option<Sample<'_>> {
    let until = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(until);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.trim_matches([' ', '\t']);
    if !is_name(name) || !is_number(value) {
        return None;
    }
    let mut series = name.to_owned();
    if !labels.is_empty() {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let _ = write!(series, "{{{}}}", labels.join(","));
    }
    Some(Sample { name, series, value })
}

/// Parses the labels before `}`, and returns them with the rest of the text.
fn labels(mut text: &str) -> Option<(BTreeMap<&str, &str>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches(' ');
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let name = name.trim_matches(' ');
        let rest = rest.trim_start_matches(' ').strip_prefix('"')?;
        let end = quoted(rest)?;
        let value = &rest[..end];
        let fine = is_name(name)
            && !name.starts_with("__")
            && !value.chars().any(char::is_control)
            && escapes(value, "\\n\"");
        // A label that is there twice would make the sample ambiguous.
        if !fine || labels.len() >= MOST_LABELS || labels.insert(name, value).is_some() {
            return None;
        }
        let rest = rest[end + 1..].trim_start_matches(' ');
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// Returns the index of the closing quotation mark.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn is_number(text: &str) -> bool {
    // The parser of numbers would take words such as `infinity` as well.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    matches!(text, "NaN" | "+Inf" | "-Inf")
        || (plain && text.len() <= 64 && text.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests;
