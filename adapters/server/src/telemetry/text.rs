//! The older text format of Prometheus, converted from OpenMetrics: counters have their full names,
//! and there are fewer types.

use std::collections::HashMap;
use std::fmt::Write;

/// The content type of [`from_open_metrics`]'s output.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Converts OpenMetrics text to the older format.
pub(crate) fn from_open_metrics(text: &str) -> String {
    let types: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            let _ = writeln!(out, "{}", sample(line));
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        // The end mark has fewer words, and the older format has none.
        let (Some(what), Some(name), Some(about)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // In the older format a family has the name of its samples.
        let (name, kind) = match types.get(name).copied() {
            Some("counter") => (format!("{name}_total"), "counter"),
            Some("info") => (format!("{name}_info"), "gauge"),
            Some("stateset") => (name.to_owned(), "gauge"),
            Some(kind @ ("gauge" | "histogram" | "summary")) => (name.to_owned(), kind),
            Some(_) | None => (name.to_owned(), "untyped"),
        };
        // OpenMetrics escapes quotation marks in help texts, and the older format does not.
        let _ = match what {
            "HELP" => writeln!(out, "# HELP {name} {}", about.replace("\\\"", "\"")),
            "TYPE" => writeln!(out, "# TYPE {name} {kind}"),
            _ => Ok(()),
        };
    }
    out
}

/// Converts a sample; its time, if it has one, from seconds to milliseconds.
fn sample(line: &str) -> String {
    // Only numbers follow the labels.
    let (series, numbers) = line.split_at(
        line.rfind('}').map_or_else(|| line.find(' ').unwrap_or(line.len()), |end| end + 1),
    );
    let mut numbers = numbers.trim_start().split(' ');
    match (numbers.next(), numbers.next().and_then(|at| at.parse::<f64>().ok())) {
        (Some(value), Some(at)) => format!("{series} {value} {:.0}", at * 1000.0),
        (_, _) => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_in_full_and_what_the_format_does_not_know_is_left_out() {
        let open = "# HELP a What \\\"it\\\" \\\\ is.\n# TYPE a counter\na_total{x=\"}\"} 1\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
                    b_seconds_sum 1.5\nb_seconds_bucket{le=\"+Inf\"} 3\n# TYPE c info\nc_info{v=\"1\"} 1\n# TYPE d unknown\nd 1 1700000000.5\n\
                    e{x=\"a b\"} 2 1700000000\nf NaN\n# EOF\n";
        let text = "# HELP a_total What \"it\" \\\\ is.\n# TYPE a_total counter\na_total{x=\"}\"} 1\n# TYPE b_seconds histogram\n\
                    b_seconds_sum 1.5\nb_seconds_bucket{le=\"+Inf\"} 3\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n# TYPE d untyped\nd 1 1700000000500\n\
                    e{x=\"a b\"} 2 1700000000000\nf NaN\n";
        assert_eq!(from_open_metrics(open), text);
    }
}
