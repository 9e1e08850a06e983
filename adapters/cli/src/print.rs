//! Formatting of text for terminals.

use handfast_core::Label;
use handfast_server::admin::PermissionsView;
use serde::de::DeserializeOwned;

use crate::End;
use crate::client::read;
use crate::gateway_time::now;

/// Length of half a SHA-256 fingerprint, in characters: 16 bytes, each with a colon behind it.
const HALF: usize = 48;

/// Escapes every character that could move the cursor, change colours or reorder a line. Names are
/// checked on arrival; this function covers all other text.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if Label::forbids(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Formats the approximate time since a Unix time, by the gateway's clock.
pub(crate) fn ago(unix: impl Into<u64>) -> String {
    let secs = now().saturating_sub(unix.into());
    match secs {
        0..5 => "now".to_owned(),
        5..120 => format!("{secs} s ago"),
        120..7_200 => format!("{} min ago", secs / 60),
        7_200..172_800 => format!("{} h ago", secs / 3_600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

/// Formats the time until a Unix time by the gateway's clock, such as `4:32`, `7 h`, `89 days`.
pub(crate) fn left(unix: impl Into<u64>) -> String {
    // The gateway counts whole seconds as well, so an end in five minutes from now is shown as five
    // minutes.
    in_words(unix.into().saturating_sub(now()))
}

/// Formats a duration of this many seconds.
pub(crate) fn in_words(secs: u64) -> String {
    match secs {
        0..7_200 => format!("{}:{:02}", secs / 60, secs % 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", (secs + 43_200) / 86_400),
    }
}

/// Formats a number of things of one kind, such as `1 node` and `2 nodes`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// Returns a fingerprint in two lines, because it is wider than a terminal.
pub(crate) fn in_lines(fingerprint: &str) -> String {
    let (first, second) = fingerprint.split_at_checked(HALF).unwrap_or((fingerprint, ""));
    format!("  {}\n  {}", safe(first), safe(second))
}

/// Quotes a name, and escapes quotation marks in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", safe(name).replace('"', "\\\""))
}

/// Formats permissions on one line.
pub(crate) fn permissions(view: &PermissionsView) -> String {
    let of = |word: &str, patterns: &[String]| {
        (!patterns.is_empty()).then(|| {
            format!(
                "{word} {}",
                patterns.iter().map(|pattern| safe(pattern)).collect::<Vec<_>>().join(" ")
            )
        })
    };
    let parts = [of("read", &view.read), of("write", &view.write), of("admin", &view.admin)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// Prints an answer, verbatim as JSON or as text for people.
pub(crate) fn show<T: DeserializeOwned>(
    json: bool,
    answer: &str,
    text: impl FnOnce(T) -> String,
) -> Result<(), End> {
    put(&shown(json, answer, text)?)
}

/// Formats an answer for printing.
pub(crate) fn shown<T: DeserializeOwned>(
    json: bool,
    answer: &str,
    text: impl FnOnce(T) -> String,
) -> Result<String, End> {
    if json {
        // An answer is printed as JSON only if it is valid JSON.
        read::<serde::de::IgnoredAny>(answer)?;
    }
    Ok(if json {
        format!("{}\n", harmless(answer))
    } else {
        handfast_stdio::fitted(&text(read(answer)?), 0)
    })
}

/// Escapes characters in JSON that a terminal would interpret or hide. The value stays the same.
pub(crate) fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c > '\u{7e}' && Label::forbids(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Prints a secret that is shown only once.
pub(crate) fn put_secret(text: &str) -> Result<(), End> {
    Ok(handfast_stdio::put_secret(text)?)
}

/// Prints to standard output.
pub(crate) fn put(text: &str) -> Result<(), End> {
    Ok(handfast_stdio::put(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let answer = "{\"name\":\"a\u{9b}31m\u{202e}\u{e0041}b\u{7f} Küche\"}";
        let shown = harmless(answer);
        assert!(!shown.chars().any(|c| c > '\u{7e}' && Label::forbids(c)), "{shown}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(answer));
        assert!(shown.contains("Küche"));
    }

    #[test]
    fn nothing_reaches_the_terminal_that_moves_its_cursor() {
        assert_eq!(safe("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}d");
        assert_eq!(safe("Küche 😀"), "Küche 😀");
    }

    #[test]
    fn a_name_cannot_end_its_own_quotation() {
        assert_eq!(quoted("My Phone"), "\"My Phone\"");
        assert_eq!(quoted("x\"\nPIN: 000000"), "\"x\\\"\\u{a}PIN: 000000\"");
    }

    #[test]
    fn lengths_of_time_read_as_on_a_clock() {
        for (secs, words) in
            [(300, "5:00"), (0, "0:00"), (61, "1:01"), (7_200, "2 h"), (90 * 86_400 - 1, "90 days")]
        {
            assert_eq!(in_words(secs), words);
        }
    }

    #[test]
    fn permissions_are_one_line_and_none_are_nothing() {
        assert_eq!(permissions(&PermissionsView::default()), "nothing");
        let view = PermissionsView {
            read: vec!["/**".into()],
            write: vec!["/a".into(), "/b".into()],
            admin: Vec::new(),
        };
        assert_eq!(permissions(&view), "read /**, write /a /b");
    }
}
