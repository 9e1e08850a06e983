//! The report of an import, as text and as JSON.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::target::Came;
use crate::print::safe;

/// Maximum number of reported rows of a part, for each [`About`] in its order; the others are
/// counted.
const NAMED: [u64; 4] = [1000, 100, 100, 100];

/// The outcome of all files.
#[derive(Debug)]
pub(super) struct ImportReport {
    pub(super) files: Vec<FileReport>,
    /// `true` if the import was written, `false` for a trial.
    pub(super) applied: bool,
}

/// The outcome of one file.
#[derive(Debug)]
pub(super) struct FileReport {
    pub(super) path: PathBuf,
    /// Description of the file; `None` if its kind is unknown.
    pub(super) kind: Option<&'static str>,
    /// The reason for which the file was not read completely, and its remedy.
    pub(super) problem: Option<String>,
    pub(super) parts: Vec<TableReport>,
}

/// The outcome of one table, or of all records of a file.
#[derive(Debug)]
pub(super) struct TableReport {
    /// Description of the rows.
    pub(super) what: &'static str,
    /// Name of the table or list in the file.
    pub(super) from: &'static str,
    pub(super) imported: u64,
    pub(super) there: u64,
    pub(super) skipped: u64,
    pub(super) refused: u64,
    lines: Vec<RowRemark>,
    /// Number of lines of each [`About`].
    said: [u64; 4],
}

/// A remark about one row.
#[derive(Debug)]
struct RowRemark {
    about: About,
    row: String,
    text: String,
}

/// The kind of a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The row was not imported, and needs attention.
    Refused,
    /// The row was not imported, because it has no meaning any more.
    Skipped,
    /// The row's entry exists, and was left unchanged in the registry.
    Kept,
    /// The row was imported with changes.
    Changed,
}

impl About {
    const ALL: [Self; 4] = [Self::Refused, Self::Skipped, Self::Kept, Self::Changed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::Kept => "kept",
            Self::Changed => "changed",
        }
    }
}

/// A row's name, and the changes that apply if it is imported.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) row: String,
    changes: Vec<String>,
}

impl Named {
    pub(super) const fn of(row: String) -> Self {
        Self { row, changes: Vec::new() }
    }

    pub(super) fn change(&mut self, text: impl Into<String>) {
        self.changes.push(text.into());
    }
}

impl TableReport {
    pub(super) const fn new(what: &'static str, from: &'static str) -> Self {
        Self {
            what,
            from,
            imported: 0,
            there: 0,
            skipped: 0,
            refused: 0,
            lines: Vec::new(),
            said: [0; 4],
        }
    }

    fn say(&mut self, about: About, row: &str, text: impl Into<String>) {
        let said = &mut self.said[about as usize];
        *said += 1;
        if *said <= NAMED[about as usize] {
            self.lines.push(RowRemark { about, row: row.to_owned(), text: text.into() });
        }
    }

    /// Returns the number of lines that exceed the limit, by kind.
    fn left_out(&self) -> impl Iterator<Item = (About, u64)> {
        let more =
            |about: About| (about, self.said[about as usize].saturating_sub(NAMED[about as usize]));
        About::ALL.into_iter().map(more).filter(|(_, more)| *more > 0)
    }

    pub(super) fn refuse(&mut self, row: &str, why: impl Into<String>) {
        self.refused += 1;
        self.say(About::Refused, row, why);
    }

    pub(super) fn skip(&mut self, row: &str, why: impl Into<String>) {
        self.skipped += 1;
        self.say(About::Skipped, row, why);
    }

    /// Counts the outcome of a row.
    pub(super) fn count(&mut self, Named { row, changes }: &Named, came: Came) {
        match came {
            Came::Imported => {
                self.imported += 1;
                changes.iter().for_each(|change| self.say(About::Changed, row, change));
            }
            Came::There(differs) => {
                self.there += 1;
                if let Some(differs) = differs {
                    self.say(About::Kept, row, differs);
                }
            }
            Came::Skipped(why) => self.skip(row, why),
            Came::Refused(why) => self.refuse(row, why),
        }
    }

    fn text(&self, applied: bool) -> String {
        let Self { what, from, imported, there, skipped, refused, lines, said: _ } = self;
        let done = if applied { "imported" } else { "would be imported" };
        let mut out = format!(
            "  {what} ({from}): {imported} {done}, {there} already there, {skipped} skipped, {refused} refused\n"
        );
        for RowRemark { about, row, text } in lines {
            out += &format!("    {:<8} {}: {}\n", about.as_str(), safe(row), safe(text));
        }
        for (about, more) in self.left_out() {
            out += &format!("    {:<8} {more} more\n", about.as_str());
        }
        out
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .lines
            .iter()
            .map(|RowRemark { about, row, text }| json!({"outcome": about.as_str(), "row": row, "why": text}))
            .collect();
        json!({
            "what": self.what, "from": self.from, "imported": self.imported, "already_there": self.there,
            "skipped": self.skipped, "refused": self.refused, "rows": rows, "rows_left_out": self.left_out().map(|(_, more)| more).sum::<u64>(),
        })
    }
}

impl ImportReport {
    /// Returns a summary of the problems; `None` for a complete import.
    pub(super) fn trouble(&self) -> Option<String> {
        let files = self.files.iter().filter(|file| file.problem.is_some()).count();
        let rows: u64 =
            self.files.iter().flat_map(|file| &file.parts).map(|part| part.refused).sum();
        let counted = |number: u64, one: &str, many: &str| match number {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{number} {many}")),
        };
        let rows = counted(rows, "row was refused", "rows were refused");
        let files = counted(files as u64, "file was not understood", "files were not understood");
        let parts: Vec<String> = [rows, files].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{}; see above for why", parts.join(", and ")))
    }

    /// Formats the report for people. `data` is the data directory.
    pub(super) fn text(&self, data: &Path) -> String {
        let mut out = String::new();
        for FileReport { path, kind, problem, parts } in &self.files {
            let path = safe(&path.display().to_string());
            match kind {
                Some(kind) => out += &format!("{path}: {kind}\n"),
                None => out += &format!("{path}: not understood\n"),
            }
            for part in parts {
                out += &part.text(self.applied);
            }
            if let Some(problem) = problem {
                out += &format!("  {}\n", safe(problem));
            }
        }
        match self.command(data) {
            Some(command) => {
                out += &format!(
                    "Nothing was written. To import it, stop the gateway and run:\n  {command}\n"
                );
            }
            None if self.applied => {}
            None => out += "Nothing was written, and there is nothing to import.\n",
        }
        out
    }

    /// Formats the report for programs.
    pub(super) fn json(&self, data: &Path) -> Value {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|file| {
                json!({
                    "file": file.path.to_string_lossy(), "kind": file.kind, "problem": file.problem,
                    "parts": file.parts.iter().map(TableReport::json).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({"applied": self.applied, "files": files, "apply_with": self.command(data)})
    }

    /// Returns the shell command that applies the import of the files that can be imported; `None`
    /// if it is applied, or there is none.
    fn command(&self, data: &Path) -> Option<String> {
        let files: Vec<_> = self.files.iter().filter(|file| file.kind.is_some()).collect();
        if self.applied || files.is_empty() {
            return None;
        }
        let mut words = vec!["handfast".to_owned(), "import".to_owned()];
        words.extend(files.iter().map(|file| shell_word(&file.path)));
        words.extend(["--data".to_owned(), shell_word(data), "--apply".to_owned()]);
        Some(words.join(" "))
    }
}

/// Formats a path as one word of a shell. A leading dash is protected from being read as an option.
fn shell_word(path: &Path) -> String {
    let mut text = path.display().to_string();
    if text.starts_with('-') {
        text.insert_str(0, "./");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", safe(&text).replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("/a/b-c.db", "/a/b-c.db"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("-x", "./-x"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn of_very_many_rows_some_are_named_and_all_are_counted() {
        let mut part = TableReport::new("nodes", "devices.json");
        part.imported = 2;
        for n in 0..1003 {
            part.count(
                &Named { row: n.to_string(), changes: vec!["so".to_owned()] },
                Came::Imported,
            );
            part.refuse(&n.to_string(), "no");
        }
        assert_eq!((part.refused, part.imported, part.lines.len()), (1003, 1005, 1100));
        let text = part.text(false);
        assert!(text.ends_with("    refused  3 more\n    changed  903 more\n"), "{text}");
        assert_eq!(part.json()["rows_left_out"], 906);
    }
}
