//! A sign on the terminal that the program waits.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::note;

/// What is over sooner shows no sign.
const SOON: Duration = Duration::from_millis(400);
/// Interval between two changes of the sign.
const TICK: Duration = Duration::from_millis(200);
const TURNS: [char; 4] = ['|', '/', '-', '\\'];

/// A line on standard error that says what is waited for, and for how long already, or still.
/// Dropping it removes the line. Nothing is written where standard error is no terminal, or one
/// that cannot move its cursor.
#[derive(Debug)]
pub struct Waiting {
    stop: Option<Sender<()>>,
    shown: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins to show `what` with the time since this call.
    #[must_use]
    pub fn for_(what: &str) -> Self {
        Self::begin(what, None)
    }

    /// Begins to show `what` with the time that is left.
    #[must_use]
    pub fn at_most(what: &str, lasts: Duration) -> Self {
        Self::begin(what, Some(lasts))
    }

    fn begin(what: &str, lasts: Option<Duration>) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
        if dumb || !stderr().is_terminal() {
            return Self { stop: None, shown: None };
        }
        let (stop, stopped) = channel::<()>();
        let (what, begun) = (what.to_owned(), Instant::now());
        let shown = std::thread::spawn(move || {
            let mut next = SOON;
            for turn in TURNS.iter().cycle() {
                if !matches!(stopped.recv_timeout(next), Err(RecvTimeoutError::Timeout)) {
                    break;
                }
                next = TICK;
                note(&line(&what, *turn, begun.elapsed(), lasts));
            }
            if next == TICK {
                note("\r\u{1b}[K");
            }
        });
        Self { stop: Some(stop), shown: Some(shown) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Waited for, so that the next text begins on an empty line.
        if let Some(shown) = self.shown.take() {
            let _ = shown.join();
        }
    }
}

fn line(what: &str, turn: char, elapsed: Duration, lasts: Option<Duration>) -> String {
    let time = match lasts {
        None => format!("{} s", elapsed.as_secs()),
        Some(lasts) => {
            let left = lasts.saturating_sub(elapsed).as_secs();
            format!("{}:{:02} left", left / 60, left % 60)
        }
    };
    format!("\r\u{1b}[K{turn} {what} ({time})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_says_how_long_it_has_been_or_how_long_is_left() {
        let secs = Duration::from_secs;
        assert_eq!(line("waiting", '|', secs(7), None), "\r\u{1b}[K| waiting (7 s)");
        let left = line("waiting", '/', secs(7), Some(secs(97)));
        assert_eq!(left, "\r\u{1b}[K/ waiting (1:30 left)");
        assert!(line("waiting", '|', secs(9), Some(secs(3))).contains("(0:00 left)"));
    }

    #[test]
    fn without_a_terminal_there_is_no_sign() {
        if !stderr().is_terminal() {
            let waiting = Waiting::for_("nothing");
            assert!(waiting.stop.is_none() && waiting.shown.is_none());
        }
    }
}
