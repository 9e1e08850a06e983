//! Parser for command lines of the console.

use handfast_core::crypto::code::Code;
use handfast_core::wire::invite::TypedCode;
use handfast_core::wire::json::Number;
use handfast_core::wire::token::Token;
use handfast_core::{Label, Span};

use crate::settings::{MAX_HOST, WireSetting};

/// Output of `help`.
pub(crate) const HELP: &str = "\
gateway tcp HOST PORT | uart   where to pair on the native wire; an address, or a name that DNS knows\r
gateway HOST PORT   the same over a WebSocket, with tokens\r
name TEXT, room TEXT   who asks, and where it stands\r
pair pin   the gateway shows a PIN; then `pin`, and the PIN on a line of its own, which is masked\r
pair approval   the operator compares the fingerprint\r
pair code   with a code that the operator minted; or `code K7QF-847291` at once\r
fingerprint   of this node, and of its gateway\r
pair, token [TOKEN], again   with tokens: ask; what the operator was shown; ask once more under a new id\r
retry   connect now\r
forget   forget the pairing and stay silent\r
heartbeat [occupancy on|off] [noise N] [every MILLISECONDS]\r
status, help";

/// A parsed command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed<'l> {
    Nothing,
    Help,
    Status,
    Gateway {
        wire: WireSetting,
        host: &'l str,
        port: u16,
    },
    Name(Label<'l>),
    Room(Label<'l>),
    Pair,
    PairBy(PairCommand),
    /// The PIN is on the next line.
    PinFollows,
    Pin(Code),
    Code(TypedCode),
    Fingerprint,
    Retry,
    Again,
    Forget,
    /// The token is on the next line.
    TokenFollows,
    Token(Token),
    Heartbeat(Values<'l>),
    /// Ends the program with this code.
    Exit(i32),
    /// Overflows the stack.
    Overflow,
}

/// A pairing method of the native wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairCommand {
    Pin,
    Approval,
    /// The code is on the next line.
    Code,
}

/// Settings of the heartbeat; a field that is `None` stays unchanged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Values<'l> {
    pub(crate) occupancy: Option<bool>,
    pub(crate) noise: Option<Number<'l>>,
    pub(crate) every: Option<Span>,
}

/// An error message that shows the correct usage. It never repeats the input, which may have been a
/// token in the wrong place.
pub(crate) type Usage = &'static str;

/// Message for input that is not a token.
pub(crate) const NO_TOKEN: Usage = "a token has 43 characters: letters, digits, - and _";

/// Message for input that is not a PIN.
pub(crate) const NO_PIN: Usage = "a PIN has 4 to 64 letters and digits";
/// Message for input that is not a code.
pub(crate) const NO_CODE: Usage = "a code has 4 letters or digits, and then 6 or more";

/// Parses a command. `emulated` enables the commands for emulated boards.
pub(crate) fn parse(line: &str, emulated: bool) -> Result<Typed<'_>, Usage> {
    let (word, rest) = line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim()));
    let alone =
        |typed| if rest.is_empty() { Ok(typed) } else { Err("nothing may follow this command") };
    match word {
        "" => Ok(Typed::Nothing),
        "help" => alone(Typed::Help),
        "status" => alone(Typed::Status),
        "gateway" => gateway(rest)
            .ok_or("gateway tcp HOST PORT, gateway uart, or gateway HOST PORT; for instance: gateway tcp 192.168.1.10 8766"),
        "name" => label(rest).map(Typed::Name),
        "room" => label(rest).map(Typed::Room),
        "pair" => match rest {
            "" => Ok(Typed::Pair),
            "pin" => Ok(Typed::PairBy(PairCommand::Pin)),
            "approval" => Ok(Typed::PairBy(PairCommand::Approval)),
            "code" => Ok(Typed::PairBy(PairCommand::Code)),
            _ => Err("pair pin, pair approval or pair code"),
        },
        "fingerprint" => alone(Typed::Fingerprint),
        word if word.eq_ignore_ascii_case("pin") => match rest {
            "" => Ok(Typed::PinFollows),
            rest => Code::parse(rest).map(Typed::Pin).map_err(|_| NO_PIN),
        },
        word if word.eq_ignore_ascii_case("code") => match rest {
            "" => Ok(Typed::PairBy(PairCommand::Code)),
            rest => TypedCode::parse(rest).map(Typed::Code).map_err(|_| NO_CODE),
        },
        "retry" => alone(Typed::Retry),
        "again" => alone(Typed::Again),
        "forget" => alone(Typed::Forget),
        "heartbeat" => {
            heartbeat(rest).map(Typed::Heartbeat).ok_or("heartbeat [occupancy on|off] [noise NUMBER] [every MILLISECONDS]")
        }
        "exit" if emulated => rest.parse().map(Typed::Exit).map_err(|_| "exit NUMBER"),
        "overflow" if emulated => alone(Typed::Overflow),
        word if word.eq_ignore_ascii_case("token") => match rest {
            "" => Ok(Typed::TokenFollows),
            rest => Token::parse(rest).map(Typed::Token).ok_or(NO_TOKEN),
        },
        _ => Err("unknown command; `help` lists them"),
    }
}

fn gateway(rest: &str) -> Option<Typed<'_>> {
    if rest == "uart" {
        return Some(Typed::Gateway { wire: WireSetting::UART, host: "", port: 0 });
    }
    let (wire, rest) = rest
        .strip_prefix("tcp ")
        .map_or((WireSetting::WEB_SOCKET, rest), |rest| (WireSetting::TCP, rest.trim_start()));
    let (host, port) = rest.split_once(' ')?;
    let port = port.trim_start().parse().ok().filter(|&port| port != 0)?;
    // The host goes into a request and onto the terminal, so it has plain characters alone.
    let clean =
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (clean && !host.is_empty() && host.len() <= MAX_HOST).then_some(Typed::Gateway {
        wire,
        host,
        port,
    })
}

fn label(rest: &str) -> Result<Label<'_>, Usage> {
    Label::parse(rest)
        .ok_or("a name or a room has 64 characters at most, and no control characters")
}

fn heartbeat(rest: &str) -> Option<Values<'_>> {
    let mut values = Values::default();
    let mut words = rest.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word {
            "occupancy" => values.occupancy = Some(on_or_off(value)?),
            "noise" => values.noise = Some(Number::parse(value)?),
            "every" => {
                values.every = Some(Span::from_millis(
                    value.parse::<u32>().ok().filter(|&every| every >= 10)?.into(),
                ));
            }
            _ => return None,
        }
    }
    (values != Values::default()).then_some(values)
}

fn on_or_off(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_has_a_host_and_a_port() {
        let (host, port) = ("10.0.2.2", 8765);
        assert_eq!(
            parse("gateway 10.0.2.2  8765", false),
            Ok(Typed::Gateway { wire: WireSetting::WEB_SOCKET, host, port })
        );
        assert_eq!(
            parse("gateway tcp 10.0.2.2 8765", false),
            Ok(Typed::Gateway { wire: WireSetting::TCP, host, port })
        );
        assert_eq!(
            parse("gateway uart", false),
            Ok(Typed::Gateway { wire: WireSetting::UART, host: "", port: 0 })
        );
        for bad in [
            "gateway",
            "gateway x",
            "gateway x 0",
            "gateway x 65536",
            "gateway a/b 1",
            "gateway  1",
            "gateway x 1 2",
        ] {
            assert!(parse(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn heartbeat_values_come_in_pairs() {
        let values = Values { occupancy: Some(false), noise: Number::parse("-1.5e3"), every: None };
        assert_eq!(
            parse("heartbeat noise -1.5e3 occupancy off", false),
            Ok(Typed::Heartbeat(values))
        );
        for bad in [
            "heartbeat",
            "heartbeat noise",
            "heartbeat noise NaN",
            "heartbeat occupancy maybe",
            "heartbeat every 0",
        ] {
            assert!(parse(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_recognised_in_any_case_and_never_repeated() {
        assert_eq!(parse("token", false), Ok(Typed::TokenFollows));
        assert_eq!(parse("TOKEN short", false), Err(NO_TOKEN));
        assert!(matches!(
            parse("Token HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ", false),
            Ok(Typed::Token(_))
        ));
    }

    #[test]
    fn a_pin_and_a_code_are_recognised_in_any_case_and_with_dashes() {
        assert_eq!(parse("Pin 847-291", false), Ok(Typed::Pin(Code::parse("847291").unwrap())));
        assert_eq!(parse("pin", false), Ok(Typed::PinFollows));
        assert_eq!(parse("pin x", false), Err(NO_PIN));
        assert!(matches!(parse("CODE k7qf 847291", false), Ok(Typed::Code(_))));
        assert_eq!(parse("code K7QF", false), Err(NO_CODE));
        assert_eq!(parse("pair code", false), Ok(Typed::PairBy(PairCommand::Code)));
    }

    #[test]
    fn only_an_emulated_board_can_be_ended() {
        assert_eq!(parse("exit 3", true), Ok(Typed::Exit(3)));
        assert!(parse("exit 3", false).is_err() && parse("overflow", false).is_err());
    }
}
