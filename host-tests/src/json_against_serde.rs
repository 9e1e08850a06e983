//! Core's JSON reader against serde_json: both must agree on any text.

use std::collections::BTreeMap;
use std::fmt;

use handfast_core::Malformed;
use handfast_core::limits::JSON_DEPTH;
use handfast_core::wire::json::{self, Text, Value};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object as serde_json reads them: keys with lone surrogates in three bytes
/// each, and values as they are written.
struct Members<'t>(Vec<(Vec<u8>, &'t RawValue)>);

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key_seed(AsBytes)? {
            self.0.push((key, map.next_value()?));
        }
        Ok(self)
    }
}

/// Seed that reads a string as bytes: serde_json then accepts lone surrogates, as core's reader
/// does where the text is not requested.
struct AsBytes;

impl<'de> serde::de::DeserializeSeed<'de> for AsBytes {
    type Value = Vec<u8>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Reads the members of an object with serde_json: each value as it is written, and the last of a
/// repeated key. Returns `None` for text that is no object, or that is nested deeper than core
/// reads.
#[must_use]
pub fn members(text: &str) -> Option<BTreeMap<Vec<u8>, String>> {
    // Reading a key as bytes would accept control characters.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(Members(Vec::new())).ok()?.0;
    reader.end().ok()?;
    (depth(text) <= JSON_DEPTH)
        .then(|| members.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect())
}

/// Checks that both readers agree on a text.
///
/// # Panics
/// If they disagree.
pub fn agree(text: &str) {
    let mut ours = Vec::new();
    let outcome = json::members(text, |key, value| ours.push((key, value)));
    let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let deepest = depth(text);
    agree_on_python(text, &ours, outcome);
    // Where an object is not the outermost value, core's reader counts one level for the object
    // that it expected.
    let limit = if text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        JSON_DEPTH
    } else {
        JSON_DEPTH - 1
    };
    match outcome {
        Err(Malformed::Json) => {
            assert!(!valid || deepest > limit, "only serde_json accepts {text:?}");
        }
        Err(Malformed::NotAnObject) => assert!(
            valid && !text.trim_start().starts_with('{'),
            "{text:?} is an object or invalid"
        ),
        Err(Malformed::Field(_)) => panic!("no fields are looked at here: {text:?}"),
        Ok(()) => {
            assert!(valid && deepest <= limit, "only we accept {text:?}");
            let mut reader = serde_json::Deserializer::from_str(text);
            let theirs = reader.deserialize_map(Members(Vec::new())).expect("it is an object").0;
            assert_eq!(ours.len(), theirs.len(), "members of {text:?}");
            for ((key, value), (their_key, their_value)) in ours.iter().zip(&theirs) {
                assert_eq!(characters(*key), decoded(their_key), "a key of {text:?}");
                agree_on_value(value, their_value.get());
            }
        }
    }
}

/// Checks the reader for Python's output: it reads `null` in place of the numbers that JSON cannot
/// express, and everything else as the strict reader does.
fn agree_on_python(text: &str, ours: &[(Text<'_>, Value<'_>)], outcome: Result<(), Malformed>) {
    let (mut members, plain) = (Vec::new(), nulls(text));
    let python = json::members_of_python(text, |key, value| members.push((key, value)));
    if outcome.is_ok() {
        assert_eq!((python, &members[..]), (outcome, ours), "{text:?}");
    }
    let mut of_plain = Vec::new();
    let read = json::members(&plain, |key, value| of_plain.push((key, value)));
    assert_eq!(python, read, "{text:?} and {plain:?}");
    if read.is_ok() {
        assert_eq!(members.len(), of_plain.len(), "{text:?}");
        for ((key, value), (plain_key, plain_value)) in members.iter().zip(&of_plain) {
            let nested = matches!(value, Value::Array(_) | Value::Object(_));
            assert!(
                characters(*key) == characters(*plain_key) && (nested || value == plain_value),
                "{text:?}"
            );
        }
        let mut room = vec![0; plain.len()];
        assert_eq!(json::without_python(text, &mut room), Some(plain.as_str()));
        assert!(
            plain.is_empty() || json::without_python(text, &mut room[..plain.len() - 1]).is_none()
        );
    }
}

/// Returns the text with `null` in place of Python's NaN and infinities, outside of strings.
fn nulls(text: &str) -> String {
    let (mut out, mut in_string, mut rest) = (String::new(), false, text);
    while let Some(first) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| !in_string && rest.starts_with(word));
        let taken = match (word, first) {
            (Some(word), _) => {
                out.push_str("null");
                word.len()
            }
            (None, '\\') => {
                let two: String = rest.chars().take(2).collect();
                out.push_str(&two);
                two.len()
            }
            (None, _) => {
                in_string ^= first == '"';
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

fn agree_on_value(ours: &Value<'_>, theirs: &str) {
    match ours {
        Value::Null => assert_eq!(theirs, "null"),
        Value::Bool(value) => assert_eq!(theirs, value.to_string()),
        Value::Number(number) => assert_eq!(theirs, number.as_str()),
        Value::Array(text) | Value::Object(text) => assert_eq!(theirs, *text),
        Value::Text(text) => {
            let mut bytes = vec![0; theirs.len()];
            let mut room = bytes.as_mut_slice();
            assert_eq!(
                text.decode(&mut room),
                serde_json::from_str::<String>(theirs).ok().as_deref(),
                "{theirs}"
            );
        }
    }
}

fn characters(text: Text<'_>) -> Vec<Option<char>> {
    text.chars().collect()
}

/// Decodes text whose lone surrogates are three bytes each, character by character; `None` stands
/// for a lone surrogate.
fn decoded(mut bytes: &[u8]) -> Vec<Option<char>> {
    let mut characters = Vec::new();
    while let [first, rest @ ..] = bytes {
        if let ([0xed, 0xa0..=0xbf, _], rest) = bytes.split_at(bytes.len().min(3)) {
            characters.push(None);
            bytes = rest;
            continue;
        }
        let length = match first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let _ = rest;
        let (character, rest) = bytes.split_at(length.min(bytes.len()));
        characters.extend(core::str::from_utf8(character).expect("UTF-8").chars().map(Some));
        bytes = rest;
    }
    characters
}

/// Returns the deepest nesting of brackets outside of strings, for a valid text.
fn depth(text: &str) -> u32 {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0, 0u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
