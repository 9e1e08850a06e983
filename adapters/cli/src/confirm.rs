//! Questions before irreversible decisions.

use std::io::{BufRead, IsTerminal};

use crate::End;

/// `--yes` of every verb that decides for good.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Sure {
    /// Do not ask; needed where no terminal is there to ask on
    #[arg(long)]
    pub(crate) yes: bool,
}

impl Sure {
    /// Asks for confirmation on a terminal. `what` is a question, as "Put x out for good?".
    pub(crate) fn check(self, what: &str) -> Result<(), End> {
        if self.yes {
            return Ok(());
        }
        if !is_attended() {
            return Err(End::Usage(format!(
                "{what} Nobody is here to be asked; say so with --yes. Nothing was done"
            )));
        }
        question(what)
    }
}

/// Returns `true` if a person can be asked: a terminal is on standard input and on standard error.
pub(crate) fn is_attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal, and fails unless the answer is yes.
pub(crate) fn question(what: &str) -> Result<(), End> {
    handfast_stdio::note(&format!("{what} Type yes: "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(End::refused)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(End::Refused("nothing was done".to_owned())),
    }
}
