//! Tables that fit the terminal.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width of a table where no terminal is known, in columns.
const COLUMNS: usize = 80;
/// A terminal that is narrower counts as this wide, in columns.
const FEWEST_COLUMNS: usize = 40;
/// A column is not made narrower than this to fit a terminal.
const NARROW: usize = 8;
/// A word up to this long stays whole while other columns can give way, in columns.
const WORD: usize = 16;
/// Minimum number of characters of an id in a list.
const SHORT: usize = 8;

/// Formats rows under a heading, in the width of the terminal. A cell that is too long goes on
/// below itself. A row of a single cell is a line of its own that belongs to the row above it.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    within(terminal_columns().unwrap_or(COLUMNS).max(FEWEST_COLUMNS), heading, rows)
}

/// Returns the width of the terminal on standard output, if there is one.
pub(crate) fn terminal_columns() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns the beginnings of ids that tell them apart, all of one length.
pub(crate) fn short_ids(ids: &[&str]) -> Vec<String> {
    let beginning = |id: &str, length: usize| id.chars().take(length).collect::<String>();
    let longest = ids.iter().map(|id| id.len()).max().unwrap_or(SHORT);
    let apart = |length: usize| {
        let mut short: Vec<String> = ids.iter().map(|id| beginning(id, length)).collect();
        short.sort_unstable();
        short.dedup();
        short.len() == ids.len()
    };
    let length = (SHORT..longest).find(|length| apart(*length)).unwrap_or(longest);
    ids.iter().map(|id| beginning(id, length)).collect()
}

fn within(limit: usize, heading: &[&str], rows: &[Vec<String>]) -> String {
    let natural = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.width());
        widths.chain(heading.get(column).map(|h| h.width())).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..heading.len()).map(natural).collect();
    let gaps = 2 * heading.len().saturating_sub(1);
    // Columns whose cells have spaces give way first; words are cut only where that is not enough.
    for least in [longest_words(heading, rows), vec![NARROW; heading.len()]] {
        while widths.iter().sum::<usize>() + gaps > limit {
            let floor = |column: usize| {
                let words = least.get(column).copied().unwrap_or(NARROW).max(NARROW);
                heading.get(column).map_or(0, |h| h.width()).max(words)
            };
            let widest = (0..widths.len())
                .filter(|column| widths[*column] > floor(*column))
                .max_by_key(|column| widths[*column]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
    }
    let mut out = line(heading, &widths);
    for row in rows {
        if let [alone] = &row[..] {
            let room = limit.saturating_sub(2).max(NARROW);
            wrapped(alone, room).iter().for_each(|part| out += &format!("  {part}\n"));
            continue;
        }
        let cells: Vec<Vec<String>> =
            row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for place in 0..height {
            let parts: Vec<&str> =
                cells.iter().map(|cell| cell.get(place).map_or("", String::as_str)).collect();
            out += &line(&parts, &widths);
        }
    }
    out
}

/// Returns the width of the longest word in each column, where it is short enough to be kept whole.
fn longest_words(heading: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let longest = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        let words = cells.flat_map(|cell| cell.split(' ')).map(UnicodeWidthStr::width);
        words.max().unwrap_or(0).min(WORD)
    };
    (0..heading.len()).map(longest).collect()
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width()))));
    format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// Splits a text into lines of at most `room` columns, at spaces where there are any.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let (mut lines, mut rest) = (Vec::new(), text);
    while rest.width() > room {
        let mut used = 0;
        let fits = rest.char_indices().find(|(_, c)| {
            used += c.width().unwrap_or(0);
            used > room
        });
        let Some((end, _)) = fits else { break };
        // A space at the very end of the line fits nowhere, so it is where the line ends.
        let at = match rest[..end].rfind(' ') {
            _ if rest[end..].starts_with(' ') => end,
            Some(space) if !rest[..space].trim().is_empty() => space,
            Some(_) | None => end,
        };
        lines.push(rest[..at].trim_end().to_owned());
        rest = rest[at..].trim_start_matches(' ');
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = rows(&[&["1", "Küche"], &["22", "x"]]);
        assert_eq!(within(80, &["ID", "ROOM"], &rows), "ID  ROOM\n1   Küche\n22  x\n");
    }

    #[test]
    fn wide_characters_take_the_columns_that_a_terminal_gives_them() {
        let rows = rows(&[&["台所", "a"], &["💡", "b"], &["e\u{301}", "c"], &["four", "d"]]);
        let shown = within(80, &["NAME", "X"], &rows);
        for line in shown.lines() {
            let (before, last) = line.split_at(line.rfind(' ').unwrap() + 1);
            assert_eq!((before.width(), last.chars().count()), (6, 1), "{shown}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_of_a_cell_is_lost() {
        let long = "read /a/very/long/pattern/** /another/one/** and more words than fit in there";
        let rows = rows(&[&["01234567", long, "台所台所台所台所台所台所", "online"], &[long]]);
        for limit in [50, 60, 80] {
            let shown = within(limit, &["ID", "MAY", "ROOM", "STATUS"], &rows);
            assert!(shown.lines().all(|line| line.width() <= limit), "{shown}");
            let squeezed = |text: &str| text.replace([' ', '\n'], "");
            assert_eq!(squeezed(&shown).matches('台').count(), 6, "{shown}");
            assert!(squeezed(&shown).contains(&squeezed(long)), "{shown}");
        }
    }

    #[test]
    fn a_word_is_cut_only_where_no_column_of_several_words_can_give_way() {
        let node = &["01234567", "Kitchen Pi of Anna", "Kitchen", "provisioning", "quarantined"];
        let more = &["19 seconds ago", "read /lights/** write /lights/kitchen/**"];
        let cells: Vec<&str> = node.iter().chain(more).copied().collect();
        let rows = rows(&[&cells]);
        let heading = ["ID", "NAME", "ROOM", "FLOW", "STANDING", "SEEN", "MAY"];
        let shown = within(80, &heading, &rows);
        for word in ["provisioning", "quarantined", "Kitchen", "seconds"] {
            assert!(shown.contains(word), "{shown}");
        }
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
        assert!(within(60, &heading, &rows).lines().all(|line| line.width() <= 80));
    }

    #[test]
    fn short_ids_are_as_long_as_it_takes_to_tell_them_apart() {
        let short = short_ids(&["0123456789ab", "0123456799ab", "ffffffffffff"]);
        assert_eq!(short, ["012345678", "012345679", "fffffffff"]);
        assert_eq!(short_ids(&["0123456789ab"]), ["01234567"]);
        assert_eq!(short_ids(&["ab", "abc"]), ["ab", "abc"]);
        assert!(short_ids(&[]).is_empty());
    }
}
