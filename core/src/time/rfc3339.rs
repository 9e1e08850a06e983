//! Wall-clock times as text (RFC 3339), in whole seconds, from 1970 to the year 9999.

use super::UnixTime;

/// Length of a time in the form of [`write()`], in characters.
pub const CHARS: usize = 20;
/// 9999-12-31T23:59:59Z, the last second that has four digits for its year.
const LAST: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

/// A time as text in UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339Text([u8; CHARS]);

impl Rfc3339Text {
    /// Returns the text, for instance `2026-11-22T06:17:50Z`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever held; the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl core::fmt::Display for Rfc3339Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Debug for Rfc3339Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Rfc3339Text {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// Writes a time in UTC. A time beyond the year 9999 is written as the last second of that year,
/// because the format has no other year.
#[must_use]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the year has four digits, which bounds everything here"
)]
pub fn write(time: UnixTime) -> Rfc3339Text {
    let secs = time.as_secs().min(LAST);
    let (days, second) = (secs / DAY, secs % DAY);
    // Years counted from 1 March 0000 put the leap day last, so that a day's number tells its month
    // by division.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00Z";
    let numbers = [
        (3, year, 4),
        (6, month, 2),
        (9, day, 2),
        (12, second / 3600, 2),
        (15, second / 60 % 60, 2),
        (18, second % 60, 2),
    ];
    for (last, mut number, digits) in numbers {
        for place in text.iter_mut().take(last + 1).rev().take(digits) {
            *place = b'0' | (number % 10).to_le_bytes()[0];
            number /= 10;
        }
    }
    Rfc3339Text(text)
}

/// Reads a time with any offset from UTC. Fractions of a second are dropped, and a leap second
/// counts as the following second. Returns `None` for other text and for times before 1970.
#[must_use]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "every number has at most four digits, which bounds everything here"
)]
pub fn read(text: &str) -> Option<UnixTime> {
    let bytes = text.as_bytes();
    let number = |at: usize, digits: usize| digits_of(bytes.get(at..)?.get(..digits)?);
    // The separators stand at fixed positions in every valid text.
    let separated = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')]
        .iter()
        .all(|(at, by)| bytes.get(*at) == Some(by));
    if !separated || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month) = (i64::from(number(0, 4)?), i64::from(number(5, 2)?));
    let (day, hour) = (i64::from(number(8, 2)?), i64::from(number(11, 2)?));
    let (minute, second) = (i64::from(number(14, 2)?), i64::from(number(17, 2)?));
    let rest = bytes.get(19..)?;
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            fraction.get(digits..)?
        }
        None => rest,
    };
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let hours = i64::from(digits_of(&[*h0, *h1])?);
            let minutes = i64::from(digits_of(&[*m0, *m1])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // The inverse of `write`: years begin on 1 March, so that the leap day is the last day.
    let (years, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * years + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let days = days + (153 * from_march + 2) / 5 + day - 1 - 719_468;
    let secs = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    u64::try_from(secs).ok().map(UnixTime::from_secs)
}

/// Reads a number of at most four digits. Its type is what lets the compiler see that no sum of the
/// caller overflows.
fn digits_of(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(*digit & 0x0f))?;
        Some(value.wrapping_mul(10).wrapping_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `date -u -d TEXT +%s`.
    const KNOWN: [(&str, u64); 8] = [
        ("1970-01-01T00:00:00Z", 0),
        ("1972-02-29T23:59:59Z", 68_255_999),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2024-01-15T10:30:00Z", 1_705_314_600),
        ("2024-12-31T23:59:59Z", 1_735_689_599),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
        ("9999-12-31T23:59:59Z", LAST),
    ];

    #[test]
    fn known_times_are_written_and_read() {
        for (text, secs) in KNOWN {
            assert_eq!(write(UnixTime::from_secs(secs)).as_str(), text);
            assert_eq!(read(text), Some(UnixTime::from_secs(secs)), "{text}");
        }
        assert_eq!(write(UnixTime::from_secs(u64::MAX)).as_str(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn every_day_of_a_hundred_and_fifty_years_reads_back_as_it_was_written() {
        for day in 0..55_000 {
            let time = UnixTime::from_secs(day * DAY + day % DAY);
            assert_eq!(read(write(time).as_str()), Some(time));
        }
    }

    #[test]
    fn offsets_fractions_and_small_letters_are_understood() {
        let ten_thirty = Some(UnixTime::from_secs(1_705_314_600));
        for text in [
            "2024-01-15T12:30:00+02:00",
            "2024-01-15t10:30:00.987z",
            "2024-01-14 23:00:00-11:30",
            "2024-01-15T10:29:60Z",
        ] {
            assert_eq!(read(text), ten_thirty, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "2024",
            "2024-01-15",
            "2024-01-15T10:30:00",
            "2024-13-15T10:30:00Z",
            "2024-00-15T10:30:00Z",
            "2023-02-29T10:30:00Z",
            "2024-01-32T10:30:00Z",
            "2024-01-00T10:30:00Z",
            "2024-01-15T24:30:00Z",
            "2024-01-15T10:60:00Z",
            "2024-01-15T10:30:61Z",
            "2024-01-15T10:30:00Z ",
            "2024-01-15T10:30:00.Z",
            "2024-01-15T10:30:00+0200",
            "2024-01-15T10:30:00+24:00",
            "2024-01-15T10:30:00+02:60",
            "+024-01-15T10:30:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2024-01-15T10:30:0éZ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
