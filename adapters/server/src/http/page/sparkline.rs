//! A small chart of a count over time, drawn by the gateway, with the same in words.

use handfast_core::UnixTime;
use maud::{Markup, html};

use super::words;

/// Width of the chart in its own units, and the number of columns that it has at most.
const WIDTH: u64 = 240;
/// Height of the chart in its own units.
const HEIGHT: u64 = 40;

/// Returns the chart of a count, the oldest point first, and the sentence that says the same.
pub(super) fn figure(name: &str, points: &[(UnixTime, u32)]) -> Markup {
    let (Some((from, _)), Some((_, now))) = (points.first(), points.last()) else {
        return html! {};
    };
    let lowest = points.iter().map(|(_, count)| *count).min().unwrap_or(0);
    let highest = points.iter().map(|(_, count)| *count).max().unwrap_or(0);
    html! {
        figure.chart {
            figcaption {
                strong { (name) } ": " (now) " now, " (lowest) " to " (highest) " since "
                (words::ago((*from).into()))
            }
            // The sentence above says it, so that nobody who hears the page hears it twice.
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                polyline points=(line(points)) {}
            }
        }
    }
}

/// Returns the line of a chart: the time runs to the right, and the highest count of each column
/// stands for it, so that a short peak is seen.
fn line(points: &[(UnixTime, u32)]) -> String {
    let (Some((from, _)), Some((until, _))) = (points.first(), points.last()) else {
        return String::new();
    };
    let (from, span) = (from.as_secs(), until.as_secs().saturating_sub(from.as_secs()).max(1));
    let top = u64::from(points.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1));
    let mut columns: Vec<(u64, u32)> = Vec::new();
    for (at, count) in points {
        // The clock may have been set back meanwhile.
        let x = at.as_secs().saturating_sub(from).min(span) * WIDTH / span;
        match columns.last_mut() {
            Some((last, highest)) if *last >= x => *highest = (*highest).max(*count),
            Some(_) | None => columns.push((x, *count)),
        }
    }
    let place = |(x, count): &(u64, u32)| {
        // A unit is left at each edge for the width of the line.
        let y = HEIGHT - 1 - u64::from(*count) * (HEIGHT - 2) / top;
        format!("{x},{y}")
    };
    columns.iter().map(place).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64, count: u32) -> (UnixTime, u32) {
        (UnixTime::from_secs(60 * minute), count)
    }

    #[test]
    fn the_line_runs_from_edge_to_edge_and_from_nothing_to_the_highest() {
        assert_eq!(line(&[at(0, 0), at(10, 5), at(20, 10)]), "0,39 120,20 240,1");
        assert_eq!(line(&[at(0, 0), at(1, 0)]), "0,39 240,39");
        assert_eq!(line(&[at(5, 3)]), "0,1");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn a_peak_of_one_minute_is_seen_in_a_whole_day() {
        let day: Vec<_> =
            (0..1440).map(|minute| at(minute, u32::from(minute == 700) * 9)).collect();
        let line = line(&day);
        assert!(line.split(' ').count() <= 241, "{line}");
        assert!(line.contains(",1 "), "{line}");
    }

    #[test]
    fn a_clock_that_was_set_back_draws_no_line_backwards() {
        let line = line(&[at(10, 1), at(20, 2), at(5, 3), at(30, 1)]);
        let xs: Vec<u64> = line
            .split(' ')
            .map(|point| point.split_once(',').unwrap().0.parse().unwrap())
            .collect();
        assert!(xs.is_sorted(), "{line}");
    }

    #[test]
    fn the_chart_is_said_in_words() {
        let text = figure("Links", &[at(0, 2), at(10, 7), at(20, 5)]).into_string();
        assert!(text.contains("Links") && text.contains("5 now, 2 to 7 since"), "{text}");
        assert!(text.contains("aria-hidden=\"true\"") && !text.contains("style="), "{text}");
    }
}
