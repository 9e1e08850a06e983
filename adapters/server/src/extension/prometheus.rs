//! Sanitizer for Prometheus text of an untrusted source: it keeps only lines that are safe to pass
//! on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// Maximum length of the text in bytes; the rest is dropped.
const TEXT_BYTES: usize = 256 * 1024;
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

/// The sanitized text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned {
    /// Lines grouped by family; every line is complete.
    pub(super) text: String,
    /// Number of dropped lines.
    pub(super) dropped: u64,
}

#[derive(Default)]
struct Family<'a> {
    kind: Option<&'a str>,
    help: Option<&'a str>,
    samples: Vec<KeptSample>,
}

/// A sample that is kept.
struct KeptSample {
    name: String,
    line: String,
    /// `true` if its value is possible for a counter.
    counts: bool,
}

/// Keeps the well-formed lines whose metric begins with the prefix: at most one TYPE and one HELP
/// per family, before its samples, and each series once.
///
/// TYPE may be counter, gauge, histogram or summary; without one a metric has no type. As in
/// OpenMetrics, a counter is written without the `_total` that all of its samples have; a counter
/// that violates these rules becomes `unknown`. Also dropped are: lines with timestamps or
/// exemplars, label names that begin with `__`, `# EOF`, and everything beyond 256 KiB. Empty lines
/// and other comments are dropped without being counted.
pub(super) fn clean(text: &str, prefix: &str) -> Cleaned {
    let mut dropped = 0;
    let mut end = text.len().min(TEXT_BYTES);
    if end < text.len() {
        dropped += 1;
        end = text.as_bytes()[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }
    // The text is cut after a line end, so no character is split.
    let lines = || {
        text.get(..end)
            .unwrap_or_default()
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
    };
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    for line in lines() {
        let Some((what, name, rest)) = comment(line) else { continue };
        let fine = line.len() <= METRIC_LINE_BYTES && is_name(name) && name.starts_with(prefix);
        let taken = fine
            && match what {
                "TYPE" => {
                    is_kind(rest) && families.entry(name).or_default().kind.replace_first(rest)
                }
                _ => is_help(rest) && families.entry(name).or_default().help.replace_first(rest),
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
        match sample
            .filter(|sample| sample.name.starts_with(prefix) && seen.insert(sample.series.clone()))
        {
            Some(sample) => {
                let family =
                    owners.get(sample.name).cloned().unwrap_or_else(|| sample.name.to_owned());
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
    let mut text = String::new();
    for ((name, kind), family) in shown.into_iter().zip(families.values_mut()) {
        for (what, rest) in [("HELP", family.help), ("TYPE", kind)] {
            if let Some(rest) = rest {
                let _ = writeln!(text, "# {what} {name} {rest}");
            }
        }
        // An `unknown` family does not cover samples with longer names; sorted to the end, they
        // read as metrics without a type.
        if kind == Some("unknown") {
            family.samples.sort_by_key(|sample| sample.name.len());
        }
        for sample in &family.samples {
            let _ = writeln!(text, "{}", sample.line);
        }
    }
    for sample in others.values().flatten() {
        let _ = writeln!(text, "{}", sample.line);
    }
    Cleaned { text, dropped }
}

/// Returns the name and the type that a family is written with.
fn metadata<'a>(
    name: &'a str,
    family: &Family<'a>,
    is_free: &impl Fn(&str) -> bool,
) -> (&'a str, Option<&'a str>) {
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
fn owners(families: &BTreeMap<&str, Family<'_>>) -> HashMap<String, String> {
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

fn is_kind(kind: &str) -> bool {
    matches!(kind, "counter" | "gauge" | "histogram" | "summary")
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
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    matches!(text, "NaN" | "+Inf" | "-Inf")
        || (plain && text.len() <= 64 && text.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        clean(text, "echo_").text
    }

    #[test]
    fn well_formed_families_pass_in_order_with_type_and_help_before_their_samples() {
        let text = "# a comment\n\necho_b{ x = \"1\" , y=\"a\\\"b\",} 2.5e3\n# TYPE echo_a_total counter\n# HELP echo_a_total What\\nit is.\necho_a_total 1\r\n\
                    echo_h_count 3\n# TYPE echo_h histogram\necho_h_bucket{le=\"+Inf\"} 3\necho_h_sum NaN\n";
        let expected = "# HELP echo_a What\\nit is.\n# TYPE echo_a counter\necho_a_total 1\n\
                        # TYPE echo_h histogram\necho_h_count 3\necho_h_bucket{le=\"+Inf\"} 3\necho_h_sum NaN\n\
                        echo_b{x=\"1\",y=\"a\\\"b\"} 2.5e3\n";
        assert_eq!(clean(text, "echo_"), Cleaned { text: expected.to_owned(), dropped: 0 });
    }

    #[test]
    fn whatever_could_harm_others_is_dropped_and_counted() {
        let lies = [
            "pairing_approvals_total 1",
            "echo 1",
            "echoes_x 1",
            "# TYPE pairing_approvals_total gauge",
            "# TYPE echo_x untyped",
            "# TYPE echo_x",
            "# HELP echo_x bad \\q escape",
            "# EOF",
            "echo_x",
            "echo_x one",
            "echo_x inf",
            "echo_x 1 1700000000000",
            "echo_x 1 # {a=\"b\"} 1",
            "echo_x{a=\"b\" 1",
            "echo_x{a=\"b} 1",
            "echo_x{a=b} 1",
            "echo_x{a=\"b\"c=\"d\"} 1",
            "echo_x{a=\"b\",a=\"c\"} 1",
            "echo_x{__name__=\"pairing_x\"} 1",
            "echo_x{a=\"\\x\"} 1",
            "echo_x{a=\"\u{7}\"} 1",
            "echo_é 1",
            "echo_x:y 1",
            " echo_x 1",
        ];
        for lie in lies {
            assert_eq!(clean(lie, "echo_"), Cleaned { text: String::new(), dropped: 1 }, "{lie}");
        }
    }

    /// Parses the text as an OpenMetrics reader does: a counter's samples end in `_total` and count
    /// up from 0, and no two families share a name.
    fn strictly(text: &str) {
        let (mut family, mut families, mut seen) =
            (("", "unknown"), BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some((what, name, rest)) = comment(line) {
                let begins = family.0 != name;
                assert!(!begins || seen.insert(name), "{line}: a name for the second time");
                family = (name, if what == "TYPE" { rest } else { "unknown" });
                continue;
            }
            let sample = sample(line).expect(line);
            let fits = |(name, kind): (&str, &str)| match kind {
                "counter" => sample.name.strip_suffix(TOTAL) == Some(name),
                _ => sample.name == name,
            };
            if !fits(family) {
                assert!(
                    seen.insert(sample.name),
                    "{line}: not of {family:?}, and in a second place"
                );
                family = (sample.name, "unknown");
            }
            families.insert(family);
            assert!(
                family.1 != "counter"
                    || sample.value.parse::<f64>().is_ok_and(|value| value >= 0.0),
                "{line}"
            );
        }
        for (name, kind) in &families {
            let total = format!("{name}{TOTAL}");
            assert!(
                *kind != "counter" || !families.iter().any(|(other, _)| *other == total),
                "{name}: its samples are another's too"
            );
        }
    }

    #[test]
    fn counters_are_written_as_openmetrics_has_them() {
        for (text, expected) in [
            (
                "# HELP echo_a_total x\n# TYPE echo_a_total counter\necho_a_total 1",
                "# HELP echo_a x\n# TYPE echo_a counter\necho_a_total 1\n",
            ),
            ("# TYPE echo_a counter\necho_a_total 1", "# TYPE echo_a counter\necho_a_total 1\n"),
            ("# TYPE echo_a counter\necho_a 1", "# TYPE echo_a unknown\necho_a 1\n"),
            (
                "# TYPE echo_a counter\necho_a_total 1\necho_a 2",
                "# TYPE echo_a unknown\necho_a 2\necho_a_total 1\n",
            ),
            (
                "# TYPE echo_a_total counter\necho_a_total -1",
                "# TYPE echo_a_total unknown\necho_a_total -1\n",
            ),
            (
                "# TYPE echo_a_total counter\necho_a_total NaN",
                "# TYPE echo_a_total unknown\necho_a_total NaN\n",
            ),
            (
                "# TYPE echo_total counter\necho_total 1",
                "# TYPE echo_total unknown\necho_total 1\n",
            ),
            (
                "# TYPE echo_a_total counter\necho_a_total 1\necho_a 2",
                "# TYPE echo_a_total unknown\necho_a_total 1\necho_a 2\n",
            ),
            (
                "# TYPE echo_a gauge\n# TYPE echo_a_total counter\necho_a 1\necho_a_total 2",
                "# TYPE echo_a gauge\necho_a 1\n# TYPE echo_a_total unknown\necho_a_total 2\n",
            ),
            (
                "# TYPE echo_a counter\n# TYPE echo_a_total counter\necho_a_total 2",
                "# TYPE echo_a unknown\n# TYPE echo_a_total unknown\necho_a_total 2\n",
            ),
            (
                "# TYPE echo_a gauge\necho_a_total 1\necho_a 2",
                "# TYPE echo_a gauge\necho_a 2\necho_a_total 1\n",
            ),
        ] {
            assert_eq!(
                clean(text, "echo_"),
                Cleaned { text: expected.to_owned(), dropped: 0 },
                "{text}"
            );
            strictly(expected);
        }
    }

    #[test]
    fn nothing_is_said_twice() {
        let text = "echo_x{a=\"1\",b=\"2\"} 1\necho_x{b=\"2\",a=\"1\"} 2\n# TYPE echo_x gauge\n# TYPE echo_x counter\n";
        let expected = "# TYPE echo_x gauge\necho_x{a=\"1\",b=\"2\"} 1\n";
        assert_eq!(clean(text, "echo_"), Cleaned { text: expected.to_owned(), dropped: 2 });
    }

    #[test]
    fn the_text_is_bounded_and_cut_at_a_line() {
        let line = "echo_é".len();
        let many: String = (0..100_000).map(|n| format!("echo_x{{n=\"é{n}\"}} {n}\n")).collect();
        let cleaned = clean(&many, "echo_");
        assert!(
            cleaned.text.len() <= TEXT_BYTES
                && cleaned.text.len() > TEXT_BYTES - 64
                && cleaned.dropped == 1,
            "{line}"
        );
        assert!(cleaned.text.ends_with('\n'));
        assert_eq!(kept(&"x".repeat(TEXT_BYTES * 2)), "");
        assert_eq!(kept(&format!("echo_x{{a=\"{}\"}} 1", "y".repeat(METRIC_LINE_BYTES))), "");
    }
}
