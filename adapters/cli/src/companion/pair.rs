//! Pairing of a companion with a setup code.

use std::io::BufRead;

use futures_util::{SinkExt, StreamExt};
use handfast_core::flow::setup_code::companion::{Companion, Effect, Input};
use handfast_core::grant::session::Token;
use handfast_core::limits::{
    COMPANION_SCRATCH, FRAME_BYTES, SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS,
};
use handfast_core::wire::companion::Word;
use handfast_core::wire::setup::Payload;
use handfast_core::{Instant, Machine};
use handfast_stdio::Hint;
use serde_json::json;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::connection::{Socket, WITHIN, open, silent};
use super::file::{SessionFile, StoredSession};
use super::place::{Endpoint, full};
use crate::End;
use crate::args;
use crate::hints::{NextCompanion, NextElsewhere};
use crate::print::{put, quoted, safe};

/// The content of a setup code.
struct CompanionCode {
    url: Option<String>,
    token: Zeroizing<String>,
}

pub(super) async fn run(
    args: &args::CompanionArgs,
    code: &str,
    place: &SessionFile,
) -> Result<(), End> {
    let code = if code == "-" { typed()? } else { Zeroizing::new(code.to_owned()) };
    let code = CompanionCode::parse(&code)?;
    let url = args.url.clone().or(code.url).ok_or_else(|| {
        End::Usage("this is a bare bootstrap token, which does not say where the gateway is: name that with --url URL".to_owned())
    })?;
    let way = Endpoint::to(&url, args.allow_plain.iter(), args.ca.as_deref())?;
    // Reserved before the code is shown, so that a failure leaves the code valid.
    let room = place.make_room(args.force)?;
    let socket = open(&way).await?;
    let token = show(&way, socket, &code.token, args).await?;
    let kept = StoredSession {
        url: way.url.as_str().to_owned(),
        token,
        ca: args.ca.as_deref().filter(|_| way.tls.is_some()).map(full),
        plain_hosts: if way.tls.is_none() { args.allow_plain.clone() } else { Vec::new() },
    };
    room.keep(&kept)?;
    let token = args.show_token.then(|| kept.token.expose());
    let file = place.path().display().to_string();
    if args.json {
        let mut view = json!({ "url": kept.url, "session_file": file });
        if let Some(token) = token {
            view["session_token"] = json!(token);
        }
        put(&format!("{view}\n"))
    } else {
        let token = token.map(|token| format!("{token}\n\n")).unwrap_or_default();
        put(&format!(
            "{token}This is a companion of {} now; its session is in {}.\nSee how it stands with: {}\n",
            safe(&kept.url),
            safe(&file),
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
        if ends || is_whole(&lines) {
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

/// Returns `true` if the text is a complete payload, or a token with a complete signature.
fn is_whole(text: &str) -> bool {
    let behind_dot = text
        .split_once('.')
        .map(|(_, signature)| signature.chars().filter(|c| !c.is_whitespace()).count());
    behind_dot.map_or_else(
        || CompanionCode::parse(text).is_ok(),
        |signature| signature >= SIGNATURE_CHARS,
    )
}

/// Number of characters of a token's signature, after the dot.
const SIGNATURE_CHARS: usize = 43;

impl CompanionCode {
    /// Parses a payload, or a bare token. Only a token contains a dot.
    fn parse(text: &str) -> Result<Self, End> {
        if text.contains('.') {
            let mut token = Zeroizing::new(String::with_capacity(text.len()));
            text.split_whitespace().for_each(|part| token.push_str(part));
            if token.len() <= SETUP_TOKEN_CHARS {
                return Ok(Self { url: None, token });
            }
        }
        let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
        let payload = Payload::decode(text, &mut scratch[..]).ok_or_else(|| {
            // The error repeats none of the text, which may be most of a code.
            End::Usage(format!(
                "this is no setup code: it is the whole line that `{}` shows, or with --url its bootstrap token",
                NextElsewhere::Invite.hint()
            ))
        })?;
        Ok(Self {
            url: Some(payload.url.to_owned()),
            token: Zeroizing::new(payload.bootstrap_token.to_owned()),
        })
    }
}

/// Shows the token and waits for the session.
async fn show(
    way: &Endpoint,
    mut socket: Socket,
    bootstrap: &str,
    args: &args::CompanionArgs,
) -> Result<Token, End> {
    let begun = tokio::time::Instant::now();
    let now =
        || Instant::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut frame = Zeroizing::new([0; 2 * SETUP_TOKEN_CHARS]);
    let (mut companion, first) =
        Companion::begin(now(), bootstrap, &mut frame[..]).ok_or_else(|| {
            End::Usage("this is no setup code: its bootstrap token is too long".to_owned())
        })?;
    match timeout(WITHIN, socket.send(Message::text(first))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(End::Refused(format!(
                "the connection to {} broke: {}",
                way.url,
                safe(&error.to_string())
            )));
        }
        Err(_) => return Err(silent(way)),
    }
    let mut scratch = Zeroizing::new(vec![0; COMPANION_SCRATCH.max(FRAME_BYTES)]);
    loop {
        let due = companion
            .deadline()
            .map(|(at, _)| begun + std::time::Duration::from_millis(at.as_millis()));
        let heard = tokio::select! {
            heard = socket.next() => Some(heard),
            () = async { match due { Some(due) => sleep_until(due).await, None => std::future::pending().await } } => None,
        };
        let input = match &heard {
            None => Input::Tick,
            Some(Some(Ok(Message::Text(text)))) => Input::Text(text),
            Some(Some(Ok(Message::Binary(_)))) => Input::Binary,
            Some(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => continue,
            Some(Some(Ok(Message::Close(_)) | Err(_)) | None) => Input::Closed,
        };
        let effects = companion.step(now(), input, &mut scratch);
        let Some(effect) = effects.into_iter().next() else { continue };
        return match effect {
            Effect::Keep(token) => {
                // The session is valid whether or not the close frame arrives.
                let _ = timeout(WITHIN, socket.close(None)).await;
                Ok(token)
            }
            Effect::Refused(word) => {
                Err(End::Refused(refusal(word, &NextCompanion::PairAnew.with(args))))
            }
            Effect::NotUnderstood => Err(End::Refused(format!(
                "{} answered something that is not understood; is it a gateway for companions?",
                way.url
            ))),
            Effect::NoAnswer => Err(End::Refused(format!(
                "{} did not answer, so whether the code is spent is not known: show it once more, and if it is \"already used\" then, let the operator end the \
                     session that came of it (`{}`) and make another code",
                way.url,
                NextElsewhere::Companions.hint()
            ))),
        };
    }
}

/// Returns the gateway's words of a refusal, with advice; `anew` is the command that begins another
/// session.
pub(super) fn refusal(said: &str, anew: &Hint) -> String {
    let invite = NextElsewhere::Invite.hint();
    let mends = match Word::ALL.iter().find(|word| word.as_str() == said) {
        Some(Word::UnknownCode) => format!(
            "copy the whole code, or let the operator make another one with `{invite}`; a code that was made with --bound is for a device: `{}`",
            NextElsewhere::PasteBoundSetupCode.hint()
        ),
        Some(Word::Expired) => format!("let the operator make another code with `{invite}`"),
        Some(Word::InvalidSignature) => format!(
            "it is another gateway's code, or its key was replaced; check the address, and let the operator make another code with `{invite}`"
        ),
        Some(Word::AlreadyUsed) => format!(
            "each code is good for one companion. If that was not you, let the operator end the session that came of it (`{}`), and make another code",
            NextElsewhere::Companions.hint()
        ),
        Some(Word::RateLimited) => {
            "too many attempts come from this address; wait a minute and try again".to_owned()
        }
        Some(Word::UnknownSession) => {
            format!("the session was ended; begin another one with: {anew}")
        }
        Some(Word::ClockInDoubt) => format!(
            "the gateway's clock may be wrong, and by what it says this is over; let the operator look at `{}`, and try again",
            NextElsewhere::Clock.hint()
        ),
        Some(Word::Internal) => "the gateway failed; its log says why. Try again".to_owned(),
        Some(Word::ExpectedText | Word::OriginNotAllowed) | None => {
            "this command and the gateway do not understand each other; are they of one version?"
                .to_owned()
        }
    };
    format!("the gateway says {}: {mends}", quoted(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_gateway_is_shown_with_what_mends_it_and_no_other_moves_the_cursor() {
        let anew = Hint::new("handfast", "companion");
        for word in Word::ALL {
            let told = refusal(word.as_str(), &anew);
            assert!(told.contains(&format!("\"{}\": ", word.as_str())), "{told}");
        }
        assert!(!refusal("\u{1b}[2J\u{202e}", &anew).contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn a_code_is_a_payload_or_a_bare_token() {
        let payload = Payload {
            url: "ws://127.0.0.1:8765",
            bootstrap_token: "e30.AAAA",
            expires_at: handfast_core::UnixTime::from_secs(1),
            fingerprint: None,
        };
        let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
        let text = payload.encode(&mut scratch, &mut out).unwrap();
        let read =
            CompanionCode::parse(&format!("  {text}\n")).unwrap_or_else(|_| panic!("a payload"));
        assert_eq!(
            (read.url.as_deref(), read.token.as_str()),
            (Some("ws://127.0.0.1:8765"), "e30.AAAA")
        );
        let bare = CompanionCode::parse("e30.AAAA").unwrap_or_else(|_| panic!("a token"));
        assert_eq!((bare.url, bare.token.as_str()), (None, "e30.AAAA"));
        let wrapped = text
            .as_bytes()
            .chunks(20)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\r\n  ");
        let read = CompanionCode::parse(&wrapped).unwrap_or_else(|_| panic!("a payload"));
        assert_eq!(
            (read.url.as_deref(), read.token.as_str()),
            (Some("ws://127.0.0.1:8765"), "e30.AAAA")
        );
        assert!(is_whole(&wrapped) && !is_whole(&wrapped[..wrapped.len() - 4]));
        let read =
            CompanionCode::parse(" e30.\n AA\u{a0}AA\r\n").unwrap_or_else(|_| panic!("a token"));
        assert_eq!(read.token.as_str(), "e30.AAAA");
        for none in ["", "e30", "not a code", &"a.".repeat(SETUP_TOKEN_CHARS)] {
            let Err(End::Usage(told)) = CompanionCode::parse(none) else { panic!("{none}") };
            assert!(none.is_empty() || !told.contains(none) || none.len() < 4, "{told}");
        }
    }
}
