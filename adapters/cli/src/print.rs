//! Text for terminals.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_core::text::is_forbidden;

/// A text with every character escaped that could move the cursor, change colours or reorder a line. Names are checked when they come in; this
/// holds for whatever else may reach a terminal.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_forbidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|h| h.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut out = line(heading.to_vec());
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

/// How long ago a Unix time was, roughly.
pub(crate) fn ago(unix: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(unix);
    let secs = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    match secs {
        0..5 => "now".to_owned(),
        5..120 => format!("{secs} s ago"),
        120..7_200 => format!("{} min ago", secs / 60),
        7_200..172_800 => format!("{} h ago", secs / 3_600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_moves_its_cursor() {
        assert_eq!(safe("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}d");
        assert_eq!(safe("Küche 😀"), "Küche 😀");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["1".to_owned(), "Küche".to_owned()], vec!["22".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "ROOM"], &rows), "ID  ROOM\n1   Küche\n22  x\n");
    }
}
