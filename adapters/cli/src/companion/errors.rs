//! Errors of the companion's client, with the commands that mend them.

use handfast_core::wire::companion::Word;
use handfast_node::companion::{CompanionError, SessionFileError, UrlRefused};
use handfast_stdio::Hint;

use crate::End;
use crate::args::CompanionArgs;
use crate::hints::{NextCompanion, NextElsewhere};
use crate::print::{quoted, safe};

/// Returns the error of a gateway that did not do what was asked for.
pub(super) fn failed(error: CompanionError, args: &CompanionArgs) -> End {
    let anew = NextCompanion::PairAnew.with(args);
    End::Refused(match error {
        // The library names keys of the gateway's configuration, which mean nothing to a companion.
        CompanionError::Address(UrlRefused::Plain { host }) => safe(&format!(
            "the address of the gateway cannot be used: it is not encrypted, and {host} is not on \
             the local network: use wss:// or https://, or allow that host with --allow-plain HOST"
        )),
        CompanionError::Refused(word) => refusal(&word, &anew),
        CompanionError::NotDone { url, status, message } => {
            let said = safe(&message);
            match status {
                401 => format!(
                    "the gateway does not know this session, or it has ended ({said}); begin another one with: {anew}"
                ),
                429 => format!(
                    "too many attempts come from this address ({said}); wait a minute and try again"
                ),
                404 => format!(
                    "{url} does not keep sessions of companions ({said}); is it the gateway that the code named?"
                ),
                _ => format!("{url} refused: {said}"),
            }
        }
        unanswered @ CompanionError::NoAnswer { .. } => format!(
            "{unanswered}: show it once more, and if it is \"already used\" then, let the operator end the \
             session that came of it (`{}`) and make another code",
            NextElsewhere::Companions.hint()
        ),
        other => safe(&other.to_string()),
    })
}

/// Returns the error of a session's file.
pub(super) fn not_kept(error: SessionFileError, args: &CompanionArgs) -> End {
    End::Refused(match error {
        SessionFileError::Exists { .. } => format!(
            "{error}; end it with: {}; or name another file with --session, or replace it with --force",
            NextCompanion::End.with(args)
        ),
        SessionFileError::Missing { .. } => {
            format!("{error}; begin one with: {}", NextCompanion::Pair.with(args))
        }
        SessionFileError::Damaged { .. } => {
            format!("{error}; begin one with: {}", NextCompanion::PairAnew.with(args))
        }
        SessionFileError::Open(_) => format!(
            "{error}\nOthers may have copied this session; it is safer to end it with the gateway's operator"
        ),
        SessionFileError::StoredBeside { .. } => {
            format!("{error}; use it with --session, or move it")
        }
        other => other.to_string(),
    })
}

/// Returns the gateway's words of a refusal, with advice; `anew` is the command that begins another
/// session.
fn refusal(said: &str, anew: &Hint) -> String {
    let invite = NextElsewhere::Invite.hint();
    let mends = match Word::ALL.iter().find(|word| word.as_str() == said) {
        Some(Word::UnknownCode) => format!(
            "copy the whole code, or let the operator make another one with `{invite}`; a code that was \
             made with --bound is for a device: `{}`",
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
    fn each_error_of_a_session_file_is_shown_with_the_command_that_mends_it() {
        let line = "handfast companion --code x --session /s";
        let crate::args::Verb::Companion(args) =
            clap::Parser::try_parse_from(line.split_whitespace())
                .map(|args: crate::args::Args| args.verb)
                .unwrap()
        else {
            panic!("a companion")
        };
        let path = || "/s".into();
        for (error, mends) in [
            (SessionFileError::Exists { path: path() }, "--force"),
            (
                SessionFileError::Missing { path: path() },
                "handfast companion --code - --session /s",
            ),
            (SessionFileError::Damaged { path: path() }, "--code - --force --session /s"),
        ] {
            let End::Refused(told) = not_kept(error, &args) else { panic!("refused") };
            assert!(told.starts_with("/s: ") && told.contains(mends), "{told}");
        }
        let far = CompanionError::Address(UrlRefused::Plain { host: "g.example".to_owned() });
        let End::Refused(told) = failed(far, &args) else { panic!("refused") };
        assert!(
            told.contains("--allow-plain HOST") && !told.contains("setup.plain_hosts"),
            "{told}"
        );
    }
}
