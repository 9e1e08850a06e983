//! Lines that fit a terminal.

use std::os::fd::AsFd;

use unicode_width::UnicodeWidthStr;

/// A terminal that is narrower counts as this wide, in columns.
const FEWEST_COLUMNS: usize = 40;
/// Programs that a command to copy begins with.
const PROGRAMS: [&str; 6] = ["handfast ", "handfast-node ", "sudo ", "chmod ", "chown ", "docker "];
/// Characters after which a command begins, and before which it ends.
const BEFORE: &str = ": ";
const AFTER: [&str; 3] = ["; ", ", ", " ("];

/// Returns the width of a terminal in columns; `None` if the stream is none.
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    if !rustix::termios::isatty(&stream) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Breaks the lines of a text that are wider than `columns`, at spaces. The first line's
/// continuations are indented as it is, and by `hang` where it is not indented. Words that are too
/// long stay whole, and so does a command to copy, on a line of its own. Lines that are indented
/// deeper than by two spaces are pictures and tables, and stay as they are.
pub(crate) fn wrapped(text: &str, columns: usize, hang: usize) -> String {
    let columns = columns.max(FEWEST_COLUMNS);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.width() <= columns || indent > 2 {
            out += line;
        } else {
            let hang = if indent == 0 { hang } else { indent };
            out += &lines_of("", line, columns, hang).join("\n");
        }
        out += end;
    }
    out
}

/// Returns a head, and a text that goes on below itself behind it.
pub(crate) fn behind(head: &str, text: &str, columns: usize) -> String {
    let columns = columns.max(FEWEST_COLUMNS);
    lines_of(head, text, columns, head.width()).join("\n")
}

fn lines_of(head: &str, line: &str, columns: usize, hang: usize) -> Vec<String> {
    let mut lines = vec![head.to_owned()];
    for piece in pieces(line) {
        let first = lines.len() == 1;
        let Some(last) = lines.last_mut() else { break };
        let is_empty = last.trim().is_empty() && !first;
        let room = columns.saturating_sub(last.width());
        if piece.trim_end().width() <= room || is_empty || (first && *last == head) {
            *last += piece;
        } else {
            lines.push(format!("{}{piece}", " ".repeat(hang)));
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Splits a line into what must not be broken: words, each with the spaces behind it, and commands.
fn pieces(line: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), line);
    let mut may_begin = false;
    while !rest.is_empty() {
        let is_command = may_begin && PROGRAMS.iter().any(|program| rest.starts_with(program));
        let end = match is_command {
            true => command(rest),
            false => quoted(rest).unwrap_or_else(|| word(rest)),
        };
        let (piece, after) = rest.split_at(end);
        may_begin = piece.ends_with(BEFORE);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Returns the end of the word that a text begins with, with the spaces around it.
fn word(text: &str) -> usize {
    let begin = text.len() - text.trim_start_matches(' ').len();
    behind_spaces(text, text[begin..].find(' ').map_or(text.len(), |at| begin + at))
}

/// Returns the end of the command that a text begins with, with what ends it.
fn command(text: &str) -> usize {
    let ends = AFTER.iter().filter_map(|after| text.find(after).map(|at| (at, after)));
    ends.min().map_or(text.len(), |(at, after)| at + after.find(' ').unwrap_or(0) + 1)
}

fn behind_spaces(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start_matches(' ').len()
}

/// Returns the end of a command between backticks that a text begins with, with the spaces behind it.
fn quoted(text: &str) -> Option<usize> {
    let begin = text.strip_prefix('(').unwrap_or(text).strip_prefix('`')?;
    let at = text.len() - begin.len();
    let end = at + begin.find('`')?;
    Some(behind_spaces(text, text[end..].find(' ').map_or(text.len(), |space| end + space)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_a_command_to_copy_stays_whole_on_one_of_its_own() {
        let text = "no gateway runs on /home/ana/data; start one with: handfast serve --data \
                    '/home/ana/a place with many rooms'; --data DIR names another one\nshort\n";
        assert_eq!(
            wrapped(text, 60, 0),
            "no gateway runs on /home/ana/data; start one with:\n\
             handfast serve --data '/home/ana/a place with many rooms';\n\
             --data DIR names another one\nshort\n"
        );
        let long = format!("see it with: handfast status --data /{} and more", "x".repeat(90));
        assert_eq!(wrapped(&long, 60, 0).lines().count(), 2, "a command is not broken");
        let quoted =
            "start the gateway with a certificate (`handfast serve --data /d --tls-own`), or";
        assert_eq!(
            wrapped(quoted, 60, 0),
            "start the gateway with a certificate\n(`handfast serve --data /d --tls-own`), or"
        );
    }

    #[test]
    fn what_goes_on_is_indented_as_the_line_is_or_as_the_caller_wants_it() {
        let text = "pairing:     by PIN is closed, and nobody may ask for it until it is opened";
        let shown = wrapped(text, 50, 13);
        assert!(shown.lines().skip(1).all(|line| line.starts_with("             ")), "{shown}");
        assert!(shown.lines().all(|line| line.width() <= 50), "{shown}");
        let indented = wrapped("  one two three four five six seven eight nine ten", 40, 13);
        assert_eq!(indented, "  one two three four five six seven\n  eight nine ten");
        let step = behind("     12 ms  node      ", "asks with the name Kitchen and waits", 40);
        assert_eq!(
            step,
            "     12 ms  node      asks with the name\n                      Kitchen and waits"
        );
        let picture = format!("      {}", "█ ".repeat(60));
        assert_eq!(wrapped(&picture, 60, 0), picture);
    }

    #[test]
    fn words_that_are_too_long_are_never_cut_and_wide_characters_count_as_two() {
        let link = format!("https://gateway.example/login#{}", "a".repeat(80));
        assert_eq!(wrapped(&format!("open {link}"), 60, 0), format!("open\n{link}"));
        assert_eq!(wrapped(&format!("{link}\n"), 60, 0), format!("{link}\n"));
        let wide = "台所 ".repeat(20);
        assert!(wrapped(&wide, 40, 0).lines().all(|line| line.width() <= 40));
    }
}
