//! Pairing of a companion with a setup code.

use std::io::BufRead;

use handfast_core::limits::SETUP_PAYLOAD_CHARS;
use handfast_node::companion::{self, CompanionCode, SessionFile, StoredSession};
use handfast_stdio::Waiting;
use serde_json::json;
use zeroize::Zeroizing;

use super::endpoint;
use super::errors::{failed, not_kept};
use crate::End;
use crate::args::CompanionArgs;
use crate::hints::{NextCompanion, NextElsewhere};
use crate::print::{put, safe};

pub(super) async fn run(args: &CompanionArgs, code: &str, file: &SessionFile) -> Result<(), End> {
    let code = if code == "-" { typed()? } else { Zeroizing::new(code.to_owned()) };
    let code = CompanionCode::parse(&code).map_err(|none| {
        End::Usage(format!(
            "{none}: it is the whole line that `{}` shows, or with --url its bootstrap token",
            NextElsewhere::Invite.hint()
        ))
    })?;
    let url = args.url.as_deref().or(code.url()).ok_or_else(|| {
        End::Usage("this is a bare bootstrap token, which does not say where the gateway is: name that with --url URL".to_owned())
    })?;
    let to = endpoint(url, args.allow_plain.iter(), args.ca.as_deref(), args)?;
    // Reserved before the code is shown, so that a failure leaves the code valid.
    let room = file.reserve(args.force).map_err(|error| not_kept(error, args))?;
    let waiting = Waiting::for_(&format!("pairing with {}", to.url()));
    let token = companion::pair(&to, &code).await.map_err(|error| failed(error, args))?;
    drop(waiting);
    let secure = to.url().is_secure();
    let session = StoredSession {
        url: to.url().as_str().to_owned(),
        token,
        // A path that is read from another directory later.
        ca: args
            .ca
            .as_deref()
            .filter(|_| secure)
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        plain_hosts: if secure { Vec::new() } else { args.allow_plain.clone() },
    };
    room.store(&session).map_err(|error| not_kept(error, args))?;
    let token = args.show_token.then(|| session.token.expose());
    let path = file.path().display().to_string();
    if args.json {
        let mut view = json!({ "url": session.url, "session_file": path });
        if let Some(token) = token {
            view["session_token"] = json!(token);
        }
        put(&format!("{view}\n"))
    } else {
        let token = token.map(|token| format!("{token}\n\n")).unwrap_or_default();
        put(&format!(
            "{token}This is a companion of {} now; its session is in {}.\nSee how it stands with: {}\n",
            safe(&session.url),
            safe(&path),
            NextCompanion::Status.with(args)
        ))
    }
}

/// Reads a pasted code: lines until it is complete, because mail programs wrap long lines. An empty
/// line also ends it. A terminal does not show it.
fn typed() -> Result<Zeroizing<String>, End> {
    use std::io::{IsTerminal, Read};
    let terminal = std::io::stdin().is_terminal();
    let _hidden = terminal.then(Hidden::begin).flatten();
    if terminal {
        handfast_stdio::note("Setup code (it is not shown): ");
    }
    // Twice the size of a payload, because wrapped lines contain white space.
    let most = 2 * SETUP_PAYLOAD_CHARS;
    let mut lines = Zeroizing::new(String::with_capacity(most + 1));
    let mut input = std::io::stdin().lock().take(most as u64);
    loop {
        let before = lines.len();
        input
            .read_line(&mut lines)
            .map_err(|error| End::Refused(format!("standard input cannot be read: {error}")))?;
        let ends = lines.get(before..).is_none_or(|line| line.trim().is_empty());
        if ends || CompanionCode::is_whole(&lines) {
            return Ok(lines);
        }
    }
}

/// The terminal's settings before it stopped showing what is typed; dropping it restores them.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    /// Stops the terminal from showing what is typed; `None` if it cannot.
    fn begin() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let input = std::io::stdin();
        let before = tcgetattr(&input).ok()?;
        let mut hiding = before.clone();
        hiding.local_modes.remove(LocalModes::ECHO);
        // The end of a line still shows, so that what follows begins on its own line.
        hiding.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&input, OptionalActions::Flush, &hiding).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
