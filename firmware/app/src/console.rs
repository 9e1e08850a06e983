//! A line-based console over two byte streams.
//!
//! Output is queued at once and sent when there is time, and every byte typed is processed as it is
//! read. So dropping any future here loses nothing, which the driver demands of its owner.

use core::fmt::{Arguments, Write as _};

use embedded_io_async::{Read, Write};
use zeroize::Zeroize;

/// Maximum length of a line in bytes: a command and a name of 64 characters of four bytes each. The
/// excess of a longer line is dropped, and the line is refused.
pub(crate) const MAX_LINE: usize = 272;

/// Size of the output queue in bytes; more is cut off. The longest answer is the status.
const OUTBOX: usize = 1024;

const PROMPT: &str = "> ";
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const KILL_LINE: u8 = 0x15; // Ctrl-U
/// Replacement for a character that must not be shown.
const MASK: u8 = b'*';

/// The reason for which a line is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadLine {
    TooLong,
    NotText,
}

/// Static storage for the console's buffers.
pub(crate) struct Sheet {
    outbox: heapless::Vec<u8, OUTBOX>,
    line: heapless::Vec<u8, MAX_LINE>,
}

impl Sheet {
    pub(crate) const fn new() -> Self {
        Self { outbox: heapless::Vec::new(), line: heapless::Vec::new() }
    }
}

/// The owner's terminal.
pub(crate) struct Console<'s, I, O> {
    input: I,
    output: O,
    outbox: &'s mut heapless::Vec<u8, OUTBOX>,
    /// Number of bytes of the outbox that were sent.
    sent: usize,
    line: &'s mut heapless::Vec<u8, MAX_LINE>,
    too_long: bool,
    after_cr: bool,
    /// Hides the whole of this line.
    hidden: bool,
    prompted: bool,
}

impl<'s, I: Read, O: Write> Console<'s, I, O> {
    pub(crate) const fn new(input: I, output: O, sheet: &'s mut Sheet) -> Self {
        Self {
            input,
            output,
            outbox: &mut sheet.outbox,
            sent: 0,
            line: &mut sheet.line,
            too_long: false,
            after_cr: false,
            hidden: false,
            prompted: false,
        }
    }

    /// Queues one line. A partly typed line is shown again below it.
    pub(crate) fn say(&mut self, text: Arguments<'_>) {
        if self.prompted {
            self.push(b"\r\n");
            self.prompted = false;
        }
        let _ = writeln!(Queue(self), "{text}\r");
    }

    /// Hides what is typed until the end of the line.
    pub(crate) fn hide(&mut self) {
        self.hidden = true;
    }

    /// Sends the queue. If the terminal fails, the queue is dropped, because the error cannot be
    /// shown.
    pub(crate) async fn drain(&mut self) {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.output.write(rest).await {
                Ok(taken @ 1..) => self.sent = self.sent.saturating_add(taken),
                Ok(0) | Err(_) => break,
            }
        }
        self.outbox.clear();
        self.sent = 0;
    }

    /// Waits for the end of a line; [`Console::take`] then returns it. If the input has ended, it
    /// waits forever: the node continues without a console.
    pub(crate) async fn until_line(&mut self) {
        loop {
            if !self.prompted {
                self.prompt();
            }
            self.drain().await;
            let mut byte = [0];
            match self.input.read(&mut byte).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => core::future::pending().await,
            }
            let [byte] = byte;
            let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                // CR LF counts as one line end.
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    self.push(b"\r\n");
                    self.prompted = false;
                    self.hidden = false;
                    return;
                }
                _ => self.typed(byte),
            }
        }
    }

    /// Passes the line to `read`, then wipes it.
    pub(crate) fn take<T>(&mut self, read: impl FnOnce(Result<&str, BadLine>) -> T) -> T {
        let outcome = match core::str::from_utf8(self.line) {
            _ if self.too_long => read(Err(BadLine::TooLong)),
            Ok(text) => read(Ok(text.trim())),
            Err(_) => read(Err(BadLine::NotText)),
        };
        self.clear();
        outcome
    }

    fn clear(&mut self) {
        // The line may have held a secret.
        self.line.as_mut_slice().zeroize();
        self.line.clear();
        self.too_long = false;
    }

    fn typed(&mut self, byte: u8) {
        match byte {
            BACKSPACE | DELETE => {
                // Remove the whole character, including UTF-8 continuation bytes.
                while self.line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
                self.again();
            }
            KILL_LINE => {
                self.clear();
                self.again();
            }
            // A tab has no fixed width on a terminal.
            b'\t' => self.typed(b' '),
            // Other control characters would move the cursor, and no command uses them.
            0..0x20 => {}
            _ => {
                let shown = !self.is_secret();
                if self.line.push(byte).is_err() {
                    self.too_long = true;
                } else {
                    self.push(&[if shown { byte } else { MASK }]);
                }
            }
        }
    }

    /// Redraws the current line.
    fn again(&mut self) {
        self.push(b"\r\x1b[K");
        self.prompt();
    }

    /// Shows the prompt and the text typed so far.
    fn prompt(&mut self) {
        self.prompted = true;
        self.push(PROMPT.as_bytes());
        let shown = match self.line.iter().position(|&byte| byte == b' ') {
            _ if self.hidden => 0,
            Some(space) if self.is_secret() => space.saturating_add(1),
            Some(_) | None => self.line.len(),
        };
        for (at, &byte) in self.line.iter().enumerate() {
            // The outbox normally has room; an excess is cut off.
            let _ = self.outbox.push(if at < shown { byte } else { MASK });
        }
    }

    /// Returns `true` if later input must be masked: after `token `, `pin ` or `code `.
    fn is_secret(&self) -> bool {
        let line = self.line.trim_ascii_start();
        let secrets: [&[u8]; 3] = [b"token ", b"pin ", b"code "];
        let begins = |word: &&[u8]| {
            line.get(..word.len()).is_some_and(|typed| typed.eq_ignore_ascii_case(word))
        };
        self.hidden || secrets.iter().any(begins)
    }

    fn push(&mut self, bytes: &[u8]) {
        // A full queue cuts the rest off, because nothing waits here.
        let _ = self.outbox.extend_from_slice(bytes);
    }
}

/// A formatter target that appends to the queue.
struct Queue<'c, 's, I, O>(&'c mut Console<'s, I, O>);

impl<I: Read, O: Write> core::fmt::Write for Queue<'_, '_, I, O> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.push(text.as_bytes());
        Ok(())
    }
}
