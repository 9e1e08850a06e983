//! Prompts for secrets: on the terminal without echo, or from standard input.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Maximum input in bytes: more than any PIN, code, invitation or setup code, wrapped into lines or
/// not.
const MOST_BYTES: u64 = 8192;

/// A pending question. Dropping it restores the terminal's echo.
pub(crate) struct Question {
    prompt: String,
    answer: oneshot::Receiver<Option<Zeroizing<String>>>,
    quiet: Option<Quiet>,
}

impl Question {
    /// Asks for one line.
    pub(crate) fn ask(prompt: &str) -> Self {
        Self::until(prompt, |_| true)
    }

    /// Asks for one line that is no secret, so that a terminal shows it while it is typed.
    #[cfg(feature = "discovery")]
    pub(crate) fn shown(prompt: &str) -> Self {
        handfast_stdio::note(&format!("{prompt}: "));
        Self::read(prompt, None, |_| true)
    }

    /// Reads lines until `is_whole` accepts the text, because mail programs wrap long lines. An
    /// empty line also ends the input.
    pub(crate) fn until(prompt: &str, is_whole: impl Fn(&str) -> bool + Send + 'static) -> Self {
        let quiet = io::stdin().is_terminal().then(Quiet::begin).flatten();
        if quiet.is_some() {
            handfast_stdio::note(&format!("{prompt}: "));
        }
        Self::read(prompt, quiet, is_whole)
    }

    fn read(
        prompt: &str,
        quiet: Option<Quiet>,
        is_whole: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        let (answer_in, answer) = oneshot::channel();
        // A detached thread: a blocking read cannot be cancelled when the question becomes moot.
        std::thread::spawn(move || answer_in.send(read_lines(is_whole)));
        Self { prompt: prompt.to_owned(), answer, quiet }
    }

    /// Waits for the answer; `None` at the end of input. Until then a terminal shows the time that
    /// is left, if there is an end. Dropping the future loses nothing.
    pub(crate) async fn answer(&mut self, until: Option<Instant>) -> Option<Zeroizing<String>> {
        let Some(until) = until.filter(|_| self.shows_countdown()) else {
            return (&mut self.answer).await.ok().flatten();
        };
        loop {
            let left = until.saturating_duration_since(Instant::now()).as_secs();
            // Nothing that is typed is shown, so the line holds the prompt only.
            let (prompt, minutes, seconds) = (&self.prompt, left / 60, left % 60);
            handfast_stdio::note(&format!("\r{prompt} ({minutes}:{seconds:02} left): \x1b[K"));
            tokio::select! {
                answer = &mut self.answer => return answer.ok().flatten(),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    fn shows_countdown(&self) -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        self.quiet.is_some() && io::stderr().is_terminal() && !is_dumb
    }
}

fn read_lines(is_whole: impl Fn(&str) -> bool) -> Option<Zeroizing<String>> {
    // The capacity suffices, so that growth leaves no copies of a secret behind.
    let mut lines = Zeroizing::new(String::with_capacity(MOST_BYTES as usize + 1));
    let mut input = io::Read::take(io::stdin().lock(), MOST_BYTES);
    loop {
        let before = lines.len();
        match input.read_line(&mut lines) {
            Ok(0) if before == 0 => return None,
            Err(_) => return None,
            Ok(_) => {}
        }
        let last = lines.get(before..).unwrap_or_default();
        if last.trim().is_empty() || is_whole(&lines) {
            return Some(Zeroizing::new(lines.trim().to_owned()));
        }
    }
}

/// A terminal whose echo is off. Dropping it restores the previous mode.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The end of the line is still shown, so that the next output begins on its own line.
        quiet.local_modes.insert(LocalModes::ECHONL);
        // What was typed before the question was not meant as its answer, so it is dropped.
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The terminal may be gone by now.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
