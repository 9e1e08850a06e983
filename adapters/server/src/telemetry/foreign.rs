//! Foreign metrics, exposed after the gateway's own: only well-formed lines, and none with the name
//! of a family of the gateway.

/// The maximum number of bytes that are taken.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The maximum number of labels of a sample.
const MOST_LABELS: usize = 64;
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
/// The suffixes that a family's samples may have.
const SUFFIXES: [&str; 5] = ["_total", "_created", "_bucket", "_count", "_sum"];

/// The types that a family may have.
const KINDS: [&str; 8] =
    ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"];

/// Appends the well-formed lines of `extra`. A bad line is left out, because it would cost the
/// whole scrape.
pub(super) fn append(text: &mut String, extra: &str) {
    let mut left = MOST_BYTES;
    for line in extra.lines() {
        // An extension must not change or shadow the gateway's own families.
        let Some((_, line)) = understood(line).filter(|(name, _)| !is_own(name)) else { continue };
        let Some(rest) = left.checked_sub(line.len() + 1) else { break };
        left = rest;
        text.push_str(line);
        text.push('\n');
    }
}

fn is_own(name: &str) -> bool {
    OWN.contains(&name)
        || SUFFIXES
            .iter()
            .any(|suffix| name.strip_suffix(suffix).is_some_and(|family| OWN.contains(&family)))
}

/// Returns the name in a line of metadata or in a sample, and the line without an exemplar; `None`
/// for every other line, including the end marker.
fn understood(line: &str) -> Option<(&str, &str)> {
    if line.contains(char::is_control) {
        return None;
    }
    if let Some(metadata) = line.strip_prefix("# ") {
        let mut words = metadata.splitn(3, ' ');
        let (kind, name, about) = (words.next()?, words.next()?, words.next()?);
        let known = match kind {
            "HELP" => is_escaped(about),
            "UNIT" => name.strip_suffix(about).is_some_and(|name| name.ends_with('_')),
            "TYPE" => KINDS.contains(&about),
            _ => false,
        };
        return (known && is_name(name)).then_some((name, line));
    }
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let numbers = match rest.strip_prefix('{') {
        Some(labels) => after_labels(labels)?,
        None => rest,
    };
    // Exemplars are left out: the older text format has none.
    let exemplar = numbers.find(" # ").map_or("", |at| &numbers[at..]);
    let mut fields = numbers.strip_suffix(exemplar)?.strip_prefix(' ')?.split(' ');
    let is_sample = is_name(name)
        && is_number(fields.next()?)
        && fields.next().is_none_or(is_finite)
        && fields.next().is_none();
    is_sample.then_some((name, line.strip_suffix(exemplar)?))
}

/// Returns the text after the labels and their brace; `None` if they are malformed.
fn after_labels(mut labels: &str) -> Option<&str> {
    if let Some(rest) = labels.strip_prefix('}') {
        return Some(rest);
    }
    let mut keys = Vec::new();
    loop {
        let (key, value) = labels.split_once("=\"")?;
        let mut escaped = false;
        let end = value.find(|c| match c {
            _ if escaped => {
                escaped = false;
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => c == '"',
        })?;
        let (value, rest) = value.split_at(end);
        // Labels with two underscores belong to the scraper: `__name__` would rename the sample.
        let is_key =
            is_name(key) && !key.contains(':') && !key.starts_with("__") && !keys.contains(&key);
        if !is_key || !is_escaped(value) || keys.len() >= MOST_LABELS {
            return None;
        }
        keys.push(key);
        match rest.strip_prefix("\",") {
            Some(more) => labels = more,
            None => return rest.strip_prefix("\"}"),
        }
    }
}

fn is_name(name: &str) -> bool {
    let follows = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    name.bytes().all(follows) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Returns `true` if each backslash begins a known escape.
fn is_escaped(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && !matches!(bytes.next(), Some(b'\\' | b'"' | b'n')) {
            return false;
        }
    }
    true
}

fn is_number(text: &str) -> bool {
    matches!(text, "+Inf" | "-Inf" | "NaN") || is_finite(text)
}

fn is_finite(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(extra: &str) -> String {
        let mut text = String::new();
        append(&mut text, extra);
        text
    }

    #[test]
    fn good_lines_are_kept_as_they_are() {
        for good in [
            "# HELP bot_seen What was \\\\ seen.",
            "# TYPE bot_seen counter",
            "# UNIT bot_seconds seconds",
            "bot_seen_total 3",
            "bot_seen_total{} 3",
            "bot:seen{a=\"b\",c=\"} \\\" , =\"} 1.5e3 1700000000.5",
            "bot_seconds_bucket{le=\"+Inf\"} +Inf",
        ] {
            assert_eq!(appended(good), format!("{good}\n"));
        }
    }

    #[test]
    fn an_exemplar_is_cut_off() {
        assert_eq!(
            appended("bot_total{a=\"b # c\"} 3 # {trace=\"x\"} 1\r\n"),
            "bot_total{a=\"b # c\"} 3\n"
        );
        assert_eq!(appended("bot_total 3 # "), "bot_total 3\n");
    }

    #[test]
    fn lines_that_would_spoil_the_scrape_are_left_out() {
        for bad in [
            "",
            "# EOF",
            "# a comment",
            "#EOF",
            "# TYPE bot word",
            "# TYPE",
            "# HELP bot",
            "# UNIT bot_seen seconds",
            "bot",
            "bot ",
            "bot x",
            "bot inf",
            "bot 1 2 3",
            "bot 1 NaN",
            "bot  1",
            " bot 1",
            "1bot 1",
            "bot{ 1",
            "bot{a=b} 1",
            "bot{a=\"b\"",
            "bot{a=\"b\"}1",
            "bot{a=\"b\",} 1",
            "bot{a=\"\\x\"} 1",
            "bot{1=\"b\"} 1",
            "bot{a=\"b} 1",
            "bot{a:b=\"c\"} 1",
            "bot{a=\"b\",a=\"c\"} 1",
            "böt 1",
            "bot\u{1b} 1",
            "bot{a=\"\u{85}\"} 1",
        ] {
            assert_eq!(appended(bad), "", "{bad:?}");
        }
    }

    #[test]
    fn nobody_speaks_in_the_gateways_name() {
        for bad in [
            "pairing_approvals_total{channel=\"x\"} 7",
            "pairing_approvals 7",
            "# TYPE handfast_nodes counter",
            "handfast_links_created 7",
            "bot{__name__=\"handfast_links\"} 7",
            "{\"handfast_links\"} 7",
            "pairing_admit_seconds_bucket{le=\"1\"} 7",
        ] {
            assert_eq!(appended(bad), "", "{bad:?}");
        }
        assert_eq!(appended("pairing_approvals_of_mine 7"), "pairing_approvals_of_mine 7\n");
    }

    #[test]
    fn a_sample_has_so_many_labels_and_no_more() {
        let with = |count: usize| {
            format!(
                "bot{{{}}} 1\n",
                (0..count).map(|label| format!("a{label}=\"b\"")).collect::<Vec<_>>().join(",")
            )
        };
        assert_eq!(appended(&with(MOST_LABELS)), with(MOST_LABELS));
        assert_eq!(appended(&with(MOST_LABELS + 1)), "");
    }

    #[test]
    fn no_more_is_taken_than_the_bound() {
        let line = format!("bot{{a=\"{}\"}} 1\n", "x".repeat(1000));
        let taken = appended(&line.repeat(2 * MOST_BYTES / line.len()));
        assert!(taken.len() <= MOST_BYTES && taken.len() > MOST_BYTES - line.len());
        assert!(taken.ends_with("} 1\n"));
    }
}
