//! The envelope: one JSON object per line, in both directions.
//!
//! Results stay text until they are used, so that an extension's output occupies no more memory
//! than its own length.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Maximum length of a line without its end, and of a body, in bytes.
pub const LINE_BYTES: usize = 1 << 20;
/// Maximum number of characters of an extension's text that are kept in an error.
const WORDS_KEPT: usize = 256;

/// An answer: the result as JSON text, or the reason for its absence.
pub(super) type Answer = Result<Box<RawValue>, String>;

#[derive(Serialize)]
struct CallRequest<'a, P> {
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reply<'a> {
    Good { id: u64, ok: bool, result: &'a serde_json::Value },
    Bad { id: u64, ok: bool, error: &'a str },
}

/// A parsed line of an extension.
#[derive(Debug)]
pub(super) enum ProgramLine {
    /// An answer to a call of the gateway.
    Answer { id: u64, answer: Answer },
    /// A request to the gateway. The id is the extension's.
    Request { id: u64, method: String, params: Option<Box<RawValue>> },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: u64,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    ok: Option<bool>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Encodes a request without a line end; `None` if it is too long.
pub(super) fn request(id: u64, method: &str, params: &impl Serialize) -> Option<Vec<u8>> {
    let line = serde_json::to_vec(&CallRequest { id, method, params }).ok()?;
    (line.len() <= LINE_BYTES).then_some(line)
}

/// Encodes the answer to an extension's request, without a line end.
pub(super) fn reply(id: u64, answer: &Result<serde_json::Value, String>) -> Vec<u8> {
    // Numbers and text always encode.
    let bad = |error| serde_json::to_vec(&Reply::Bad { id, ok: false, error }).unwrap_or_default();
    match answer {
        Ok(result) => match serde_json::to_vec(&Reply::Good { id, ok: true, result }) {
            Ok(line) if line.len() <= LINE_BYTES => line,
            _ => bad("the answer is larger than 1 MiB"),
        },
        Err(error) => bad(&shown(error)),
    }
}

/// Parses a line or a body.
///
/// # Errors
/// The problem, without any content of the line.
pub(super) fn incoming(line: &[u8]) -> Result<ProgramLine, &'static str> {
    let envelope: Envelope<'_> = serde_json::from_slice(line)
        .map_err(|_| "a line that is no JSON object with an id, or repeats a key")?;
    match (envelope.method, envelope.ok) {
        (Some(method), None) => Ok(ProgramLine::Request {
            id: envelope.id,
            method,
            params: envelope.params.map(RawValue::to_owned),
        }),
        (None, Some(true)) => {
            let result = envelope.result.unwrap_or(RawValue::NULL).to_owned();
            Ok(ProgramLine::Answer { id: envelope.id, answer: Ok(result) })
        }
        (None, Some(false)) => {
            Ok(ProgramLine::Answer { id: envelope.id, answer: Err(words(envelope.error)) })
        }
        // Such a line could be read as a request or as an answer.
        (Some(_), Some(_)) => Err("a line with both a method and ok"),
        (None, None) => Err("a line with neither a method nor ok"),
    }
}

fn words(error: Option<&RawValue>) -> String {
    let Some(error) = error else { return "it gave no reason".to_owned() };
    shown(
        &serde_json::from_str::<String>(error.get())
            .unwrap_or_else(|_| error.get().chars().take(WORDS_KEPT).collect()),
    )
}

/// Makes foreign text fit for a log or a terminal: short, in one line, without control characters.
pub(super) fn shown(words: &str) -> String {
    let mut kept: String =
        words.chars().map(|c| if hidden(c) { ' ' } else { c }).take(WORDS_KEPT).collect();
    if words.chars().nth(WORDS_KEPT).is_some() {
        kept.push('…');
    }
    kept
}

/// Returns `true` for characters that control a display, such as control, zero-width and
/// bidirectional ones.
pub(super) fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_a_reply_have_the_documented_form() {
        let line = request(7, "echo.ping", &serde_json::json!({"a": 1})).unwrap();
        assert_eq!(line, br#"{"id":7,"method":"echo.ping","params":{"a":1}}"#);
        assert_eq!(reply(3, &Ok(serde_json::json!([1]))), br#"{"id":3,"ok":true,"result":[1]}"#);
        assert_eq!(reply(3, &Err("no\n".to_owned())), br#"{"id":3,"ok":false,"error":"no "}"#);
    }

    #[test]
    fn what_is_larger_than_a_line_is_neither_asked_nor_answered() {
        let large = "x".repeat(LINE_BYTES);
        assert!(request(1, "echo.ping", &large).is_none());
        let line = reply(1, &Ok(large.into()));
        assert_eq!(line, br#"{"id":1,"ok":false,"error":"the answer is larger than 1 MiB"}"#);
    }

    #[test]
    fn lines_are_answers_or_requests_and_nothing_between() {
        let read = |line: &str| incoming(line.as_bytes());
        assert!(
            matches!(read(r#"{"id":1,"ok":true}"#), Ok(ProgramLine::Answer { id: 1, answer: Ok(r) }) if r.get() == "null")
        );
        assert!(
            matches!(read(r#"{"id":1,"ok":true,"result":[2]}"#), Ok(ProgramLine::Answer { answer: Ok(r), .. }) if r.get() == "[2]")
        );
        assert!(
            matches!(read(r#"{"id":1,"ok":false,"error":"no"}"#), Ok(ProgramLine::Answer { answer: Err(e), .. }) if e == "no")
        );
        assert!(
            matches!(read(r#"{"id":1,"ok":false,"error":{"c":5}}"#), Ok(ProgramLine::Answer { answer: Err(e), .. }) if e == r#"{"c":5}"#)
        );
        assert!(matches!(
            read(r#"{"id":9,"method":"m"}"#),
            Ok(ProgramLine::Request { id: 9, params: None, .. })
        ));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"id":1}"#,
            r#"{"ok":true}"#,
            r#"{"id":-1,"ok":true}"#,
            r#"{"id":"1","ok":true}"#,
            r#"{"id":18446744073709551616,"ok":true}"#,
            r#"{"id":1,"id":2,"ok":true}"#,
            r#"{"id":1,"ok":true,"ok":false}"#,
            r#"{"id":1,"ok":1}"#,
            r#"{"id":1,"ok":true,"method":"m"}"#,
            r#"{"id":1,"ok":true,"result":[}"#,
            r#"{"id":1,"ok":true} {"#,
            "{\"id\":1,\"ok\":true,\"result\":\"\u{1}\"}",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(incoming(b"{\"id\":1,\"ok\":true,\"result\":\"\xff\"}").is_err(), "no UTF-8");
        let deep = format!("{{\"id\":1,\"ok\":true,\"result\":{}}}", "[".repeat(500_000));
        assert!(read(&deep).is_err(), "deep nesting ends without a stack overflow");
    }

    #[test]
    fn words_of_an_extension_steer_no_terminal_and_are_short() {
        assert_eq!(shown("a\u{1b}[31mb\r\nc\u{202e}d"), "a [31mb  c d");
        assert_eq!(shown(&"é".repeat(1000)).chars().count(), WORDS_KEPT + 1);
    }
}
