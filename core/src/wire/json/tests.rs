//! Tests of the JSON reader.

use super::*;
use std::string::String;
use std::vec::Vec;

fn read(text: &str) -> Result<Vec<(String, Value<'_>)>, Malformed> {
    let mut seen = Vec::new();
    members(text, |key, value| {
        seen.push((key.chars().map(|c| c.unwrap_or('?')).collect(), value));
    })?;
    Ok(seen)
}

fn text(raw: &str) -> Text<'_> {
    Text { raw, escaped: raw.contains('\\') }
}

fn text_of(raw: &str) -> Option<String> {
    let mut room = [0u8; 64];
    let mut room = &mut room[..];
    text(raw).decode(&mut room).map(String::from)
}

#[test]
fn members_come_in_order_with_their_values() {
    let seen =
        read(r#" {"a" : null, "b":[1,{"x":[]}],"c":{"d":"}"} ,"a":-0.5e+3,"t":true} "#).unwrap();
    let keys: Vec<_> = seen.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c", "a", "t"]);
    assert_eq!(seen[1].1, Value::Array(r#"[1,{"x":[]}]"#));
    assert_eq!(seen[2].1, Value::Object(r#"{"d":"}"}"#));
    assert_eq!(seen[3].1, Value::Number(Number("-0.5e+3")));
}

#[test]
fn escapes_stand_for_their_characters_and_surrogates_join() {
    assert_eq!(text_of(r#"\"\\\/\b\f\n\r\t\u0041"#).unwrap(), "\"\\/\u{8}\u{c}\n\r\tA");
    assert_eq!(text_of(r"\ud83d\ude00 \u00e9").unwrap(), "😀 é");
    assert_eq!(text_of(r"\uD83D\uDE00").unwrap(), "😀");
    assert_eq!(text_of(r"\udbff\udfff").unwrap(), "\u{10ffff}");
}

#[test]
fn half_a_surrogate_pair_stands_for_nothing() {
    for half in [
        r"\ud800",
        r"\udc00",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\u0041",
        r"\ud800\ud800",
        r"a\udfff\ud83d",
    ] {
        assert_eq!(text_of(half), None, "{half}");
    }
}

#[test]
fn a_key_is_known_however_it_is_written() {
    assert!(text(r"t\u0079pe").is("type"));
    assert!(!text("typ").is("type") && !text("types").is("type"));
}

#[test]
fn what_breaks_the_grammar_is_malformed() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1}x",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1,]}",
        "{\"a\":[}]}",
        "{\"a\":{\"b\":1]}",
        "{'a':1}",
        "nul",
        "[1",
        "{\"a\":NaN}",
        "{\"a\":[{]}",
        "{\"a\":{1:2}}",
        "{\"a\":[1 2]}",
    ] {
        assert_eq!(read(bad), Err(Malformed::Json), "{bad}");
    }
}

#[test]
fn a_value_that_is_no_object_says_so() {
    for other in ["[]", "1", "\"x\"", "null", " [1,2] "] {
        assert_eq!(read(other), Err(Malformed::NotAnObject), "{other}");
    }
}

#[test]
fn deep_nesting_ends_in_an_error_and_not_in_the_stack() {
    let nested = |n: usize| std::format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(read(&nested(126)).is_ok());
    assert_eq!(read(&nested(127)), Err(Malformed::Json));
    assert_eq!(read(&nested(500_000)), Err(Malformed::Json));
}

#[test]
fn a_text_that_does_not_fit_takes_no_room() {
    let mut room = [0u8; 3];
    let mut room = &mut room[..];
    assert_eq!(text(r"\u0041bcd").decode(&mut room), None);
    assert_eq!(room.len(), 3);
    assert_eq!(text(r"\u0041bc").decode(&mut room), Some("Abc"));
    assert_eq!(room.len(), 0);
}
