//! Next commands, as the programs print them.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter, Write};
use std::os::unix::ffi::OsStrExt;

/// A command that a program prints as the next step.
///
/// It is built from words, never from a text, so that a shell that is given the printed form runs
/// exactly these words: [`Display`] quotes each word where a POSIX shell needs it, and a word with
/// control or invisible characters is written with `$'…'`, which bash, zsh and POSIX 2024 read.
///
/// ```
/// use handfast_stdio::Hint;
///
/// let hint = Hint::new("handfast", "pairing open").option("--data", Some("/tmp/my data"));
/// assert_eq!(hint.to_string(), "handfast pairing open --data '/tmp/my data'");
/// assert_eq!(hint.words(), ["handfast", "pairing", "open", "--data", "/tmp/my data"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    words: Vec<OsString>,
}

impl Hint {
    /// Returns the command `program` with a verb of one or more words.
    #[must_use]
    pub fn new(program: &str, verb: &str) -> Self {
        let words = std::iter::once(program).chain(verb.split_whitespace());
        Self { words: words.map(OsString::from).collect() }
    }

    /// Appends an argument. A placeholder for a value that only the reader knows is written in
    /// upper case, such as `NAME`.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.words.push(argument.as_ref().to_owned());
        self
    }

    /// Appends an option without a value if it was given.
    #[must_use]
    pub fn flag(self, name: &str, given: bool) -> Self {
        if given { self.arg(name) } else { self }
    }

    /// Appends an option with its value if it was given.
    #[must_use]
    pub fn option(self, name: &str, value: Option<impl AsRef<OsStr>>) -> Self {
        match value {
            Some(value) => self.arg(name).arg(value),
            None => self,
        }
    }

    /// Appends an option once for each of its values.
    #[must_use]
    pub fn options(self, name: &str, values: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        values.into_iter().fold(self, |hint, value| hint.option(name, Some(value)))
    }

    /// Returns the words of the command without quotation marks, the program first.
    #[must_use]
    pub fn words(&self) -> &[OsString] {
        &self.words
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, word) in self.words.iter().enumerate() {
            if place > 0 {
                f.write_char(' ')?;
            }
            f.write_str(&shell_word(word))?;
        }
        Ok(())
    }
}

/// Returns a word as a shell reads it, on one line and without a character that a terminal would
/// interpret.
fn shell_word(word: &OsStr) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    let harmless = |c: char| matches!(c, ' '..='~') || c.is_alphanumeric();
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => Cow::Borrowed(text),
        Some(text) if text.chars().all(harmless) => {
            Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
        }
        Some(_) | None => Cow::Owned(escaped(word.as_bytes())),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::from("$'");
    for byte in bytes {
        match byte {
            b'\'' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            // Three octal digits end by themselves, whatever follows.
            _ => out += &format!("\\{byte:03o}"),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_printed_word_as_it_was_given() {
        let words = [
            "plain-1.2",
            "two words",
            "it's",
            "",
            "$HOME",
            "~",
            "*",
            "küche",
            "東京",
            "a\nb",
            "\u{1b}[2J",
            "x\u{202e}y",
            "back\\slash\n'",
            "💡",
        ];
        for word in words {
            let hint = Hint::new("printf", "%s").arg(word);
            let printed = hint.to_string();
            assert!(!printed.contains(['\n', '\u{1b}', '\u{202e}']), "{printed:?}");
            let ran = std::process::Command::new("bash").args(["-c", &printed]).output().unwrap();
            assert_eq!(ran.stdout, word.as_bytes(), "{printed}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_survive_too() {
        let word = OsStr::from_bytes(b"/tmp/\xff9");
        assert_eq!(Hint::new("ls", "").arg(word).to_string(), r"ls $'/tmp/\3779'");
    }

    #[test]
    fn options_that_were_not_given_are_not_in_the_hint() {
        let hint = Hint::new("handfast", "companion status")
            .option("--session", Some("/s"))
            .option("--ca", None::<&str>)
            .options("--allow-plain", ["a", "b"])
            .flag("--json", false);
        assert_eq!(
            hint.to_string(),
            "handfast companion status --session /s --allow-plain a --allow-plain b"
        );
    }
}
