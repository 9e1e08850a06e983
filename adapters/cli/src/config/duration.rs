//! Durations in the notation of people: `300`, `0.25`, `5m`, `1h30m`, `90d`.

use std::time::Duration;

use handfast_core::Span;

/// Units with their milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Maximum length of a text; no longer one means a duration that fits.
const MOST_CHARS: usize = 40;

/// Parses seconds with up to three decimals, or whole numbers with units, each unit at most once
/// and longer ones first.
#[must_use]
pub fn parse(text: &str) -> Option<Span> {
    if text.len() > MOST_CHARS {
        return None;
    }
    let millis = if text.ends_with(|last: char| last.is_ascii_digit()) {
        seconds(text)?
    } else {
        with_units(text)?
    };
    Some(Span::from_millis(millis))
}

fn seconds(text: &str) -> Option<u64> {
    let (whole, decimals) = match text.split_once('.') {
        Some((_, decimals)) if decimals.is_empty() || decimals.len() > 3 => return None,
        Some(parts) => parts,
        None => (text, "0"),
    };
    let thousandths = number(&format!("{decimals:0<3}"))?;
    number(whole)?.checked_mul(1000)?.checked_add(thousandths)
}

fn with_units(text: &str) -> Option<u64> {
    let mut units = UNITS.iter();
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let (count, behind) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let (unit, behind) = behind
            .split_at_checked(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()))?;
        // The search continues behind the last unit, so a unit cannot repeat or come out of order.
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = number(count)?.checked_mul(*millis)?.checked_add(total)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// Converts a span into a duration of the standard library.
pub(super) const fn lasting(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}

/// Formats a duration of the standard library like [`show`].
pub(super) fn show_lasting(lasting: Duration) -> String {
    show(Span::from_millis(u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX)))
}

/// Parses digits only: `u64::from_str` would also accept a sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Returns the shortest text that [`parse`] reads as this span; weeks are written as days.
#[must_use]
pub fn show(span: Span) -> String {
    let mut rest = span.as_millis();
    let mut text = String::new();
    for (name, millis) in UNITS.iter().skip(1) {
        if rest >= *millis {
            text += &format!("{}{name}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u64> {
        parse(text).map(Span::as_millis)
    }

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(millis("300"), Some(300_000));
        assert_eq!(millis("0.25"), Some(250));
        assert_eq!(millis("1.5"), Some(1500));
        assert_eq!(millis("0"), Some(0));
    }

    #[test]
    fn units_may_be_combined_from_the_longest_to_the_shortest() {
        assert_eq!(millis("5m"), Some(300_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("90d"), Some(7_776_000_000));
        assert_eq!(millis("2w1d1h1m1s1ms"), Some(1_299_661_001));
        assert_eq!(millis("250ms"), Some(250));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let long = "0".repeat(50);
        for text in [
            "", " 5", "5 m", "m", "5x", "-5", "+5", "5m5m", "30m1h", "1.5h", ".5", "5.", "1.2345",
            "1e3", "5M", "1h30", "1_000", "٣", "5µs", "1..2", &long,
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn what_would_overflow_is_refused() {
        for text in [
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551615d",
            "213503982334d99999999999999h",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(millis("18446744073709551615ms"), Some(u64::MAX));
    }

    #[test]
    fn what_is_shown_reads_back() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (7_776_000_000, "90d"),
            (90_061_001, "1d1h1m1s1ms"),
        ] {
            assert_eq!(show(Span::from_millis(millis)), text);
            assert_eq!(parse(text), Some(Span::from_millis(millis)));
        }
        assert_eq!(parse(&show(Span::from_millis(u64::MAX))), Some(Span::from_millis(u64::MAX)));
    }
}
