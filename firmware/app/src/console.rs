//! Lines in, lines out, over two byte streams.
//!
//! Everything that is to be shown is queued at once and sent when there is time, and every byte
//! that was typed is dealt with as it is read. So dropping any future here loses nothing, which the
//! pump demands of its owner.

use core::fmt::{Arguments, Write as _};

use embedded_io_async::{Read, Write};
use zeroize::Zeroize;

/// The longest line that is kept: a command and a name of 64 characters of four bytes each. The
/// rest of a longer one is dropped with it.
pub(crate) const MAX_LINE: usize = 272;

/// What waits to be shown; more is cut off. The longest answer is the status.
const OUTBOX: usize = 1024;

const PROMPT: &str = "> ";
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const KILL_LINE: u8 = 0x15; // Ctrl-U
/// Stands for a character that must not be shown.
const MASK: u8 = b'*';

/// What can be wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadLine {
    TooLong,
    NotText,
}

/// The console's buffers, apart from it so that they can be static.
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
    /// How much of the outbox has been sent.
    sent: usize,
    line: &'s mut heapless::Vec<u8, MAX_LINE>,
    too_long: bool,
    after_cr: bool,
    /// Nothing of this line is to be shown.
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

    /// Queues one line. If something is being typed, it is shown again below.
    pub(crate) fn say(&mut self, text: Arguments<'_>) {
        if self.prompted {
            self.push(b"\r\n");
            self.prompted = false;
        }
        let _ = writeln!(Queue(self), "{text}\r");
    }

    /// Does not show what is typed until the end of the line.
    pub(crate) fn hide(&mut self) {
        self.hidden = true;
    }

    /// Sends what is queued. A terminal that fails cannot be told so: what was for it is dropped.
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

    /// Waits for the end of a line; [`Console::take`] then has it. Waits for ever if nothing can be typed any more: the node goes on without.
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

    /// Gives the line to `read`, then wipes it.
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
        // It may have held a secret.
        self.line.as_mut_slice().zeroize();
        self.line.clear();
        self.too_long = false;
    }

    fn typed(&mut self, byte: u8) {
        match byte {
            BACKSPACE | DELETE => {
                // The whole character, however many bytes it has.
                while self.line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
                self.again();
            }
            KILL_LINE => {
                self.clear();
                self.again();
            }
            b'\t' => self.typed(b' '),
            // Others would move the cursor, and no command has use for them.
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

    /// Shows the line as it is now.
    fn again(&mut self) {
        self.push(b"\r\x1b[K");
        self.prompt();
    }

    /// The prompt, and what was typed so far.
    fn prompt(&mut self) {
        self.prompted = true;
        self.push(PROMPT.as_bytes());
        let shown = match self.line.iter().position(|&byte| byte == b' ') {
            _ if self.hidden => 0,
            Some(space) if self.is_secret() => space.saturating_add(1),
            Some(_) | None => self.line.len(),
        };
        for (at, &byte) in self.line.iter().enumerate() {
            // There is room to spare; what does not fit is cut off.
            let _ = self.outbox.push(if at < shown { byte } else { MASK });
        }
    }

    /// Whether what follows must not be shown: `token`, `pin` or `code` and a space were typed.
    fn is_secret(&self) -> bool {
        let line = self.line.trim_ascii_start();
        let secrets: [&[u8]; 3] = [b"token ", b"pin ", b"code "];
        let begins = |word: &&[u8]| {
            line.get(..word.len()).is_some_and(|typed| typed.eq_ignore_ascii_case(word))
        };
        self.hidden || secrets.iter().any(begins)
    }

    fn push(&mut self, bytes: &[u8]) {
        let _ = self.outbox.extend_from_slice(bytes);
    }
}

/// Formats into the queue.
struct Queue<'c, 's, I, O>(&'c mut Console<'s, I, O>);

impl<I: Read, O: Write> core::fmt::Write for Queue<'_, '_, I, O> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.push(text.as_bytes());
        Ok(())
    }
}
