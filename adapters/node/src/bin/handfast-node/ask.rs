//! Asking for a secret: on the terminal without showing it, or from standard input.

use std::io::{self, BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// More than any PIN, code, invitation or setup code, wrapped into lines or not.
const MOST_BYTES: u64 = 8192;

/// A question that was asked. Dropped, the terminal shows again what is typed.
pub(crate) struct Question {
    answer: oneshot::Receiver<Option<Zeroizing<String>>>,
    _quiet: Option<Quiet>,
}

impl Question {
    /// Asks for one line.
    pub(crate) fn ask(prompt: &str) -> Self {
        Self::until(prompt, |_| true)
    }

    /// Asks for lines until they are whole together, because a mail program wraps what is long; an
    /// empty one ends them, too.
    pub(crate) fn until(prompt: &str, is_whole: impl Fn(&str) -> bool + Send + 'static) -> Self {
        let quiet = io::stdin().is_terminal().then(Quiet::begin).flatten();
        if quiet.is_some() {
            handfast_stdio::note(&format!("{prompt}: "));
        }
        let (answer_in, answer) = oneshot::channel();
        // A thread of its own, which nobody waits for: reading cannot be broken off when the
        // question is moot.
        std::thread::spawn(move || answer_in.send(read_lines(is_whole)));
        Self { answer, _quiet: quiet }
    }

    /// What was typed; `None` at the end of input.
    pub(crate) async fn answer(&mut self) -> Option<Zeroizing<String>> {
        (&mut self.answer).await.ok().flatten()
    }
}

fn read_lines(is_whole: impl Fn(&str) -> bool) -> Option<Zeroizing<String>> {
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

/// A terminal that does not show what is typed.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
