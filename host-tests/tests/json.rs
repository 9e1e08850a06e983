//! Core's JSON reader against serde_json over generated texts: valid ones, and valid ones with a
//! few bytes changed.

use handfast_host_tests::json_against_serde::agree;
use handfast_host_tests::prng::Prng;

const PIECES: &[&str] = &[
    "a",
    "Ü",
    "𐍈",
    " ",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\u0041",
    "\\u00e9",
    "\\ud83d\\ude00",
    "\\uD83D\\uDE00",
    "\\ud800",
    "\\udc00",
    "\\ud800\\u0041",
    "\\ud800\\n",
    "\\ud800\\ud800\\udc00",
    "\\u0000",
    "\u{7f}",
    "\\b\\f\\r\\t",
    "type",
    "t\\u0079pe",
    "{",
    "]",
    ",",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "7",
    "-12",
    "0.5",
    "1e5",
    "1E+5",
    "2.25e-300",
    "1e999",
    "-1e-999",
    "123456789012345678901234567890",
    "0.1e1",
    "10.01",
];
const SPACES: &[&str] = &["", "", "", " ", "\n\t", "\r "];

fn space(prng: &mut Prng, out: &mut String) {
    out.push_str(prng.pick(SPACES));
}

fn string(prng: &mut Prng, out: &mut String) {
    out.push('"');
    for _ in 0..prng.below(5) {
        out.push_str(prng.pick(PIECES));
    }
    out.push('"');
}

fn value(prng: &mut Prng, out: &mut String, depth: u32) {
    match prng.below(if depth == 0 { 6 } else { 10 }) {
        0 => out.push_str("null"),
        1 => out.push_str("true"),
        2 => out.push_str("false"),
        3 => out.push_str(prng.pick(NUMBERS)),
        4 | 5 => string(prng, out),
        6 | 7 => {
            out.push('[');
            for item in 0..prng.below(4) {
                out.push_str(if item > 0 { "," } else { "" });
                space(prng, out);
                value(prng, out, depth - 1);
                space(prng, out);
            }
            space(prng, out);
            out.push(']');
        }
        _ => object(prng, out, depth - 1),
    }
}

fn object(prng: &mut Prng, out: &mut String, depth: u32) {
    out.push('{');
    for member in 0..prng.below(5) {
        out.push_str(if member > 0 { "," } else { "" });
        space(prng, out);
        string(prng, out);
        space(prng, out);
        out.push(':');
        space(prng, out);
        value(prng, out, depth);
        space(prng, out);
    }
    space(prng, out);
    out.push('}');
}

fn damaged(prng: &mut Prng, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=prng.below(2) {
        let at = prng.below(characters.len() as u64 + 1) as usize;
        let new = prng.pick(&[
            '"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', '.', 'e', 'u', 'd', ' ', '\u{1}',
            'é', 'n',
        ]);
        match prng.below(3) {
            0 => characters.insert(at, new),
            1 if at < characters.len() => characters[at] = new,
            _ if at < characters.len() => {
                characters.remove(at);
            }
            _ => {}
        }
    }
    characters.into_iter().collect()
}

#[test]
fn generated_texts_read_alike() {
    let mut prng = Prng::new(8259);
    for _ in 0..60_000 {
        let mut text = String::new();
        space(&mut prng, &mut text);
        if prng.one_in(10) {
            value(&mut prng, &mut text, 4);
        } else {
            object(&mut prng, &mut text, 4);
        }
        space(&mut prng, &mut text);
        agree(&text);
        agree(&damaged(&mut prng, &text));
    }
}

#[test]
fn nesting_reads_alike_up_to_the_limit_and_fails_beyond_it_without_a_stack_overflow() {
    for depth in [1, 2, 100, 124, 125, 126, 127, 128, 129, 1_000, 200_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let inner = if open.ends_with(':') { "1" } else { "" };
            let nested = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            agree(&nested);
            agree(&format!("{{\"a\":{nested}}}"));
        }
    }
}

#[test]
fn two_members_of_one_name_are_both_seen_in_order() {
    agree(r#"{"a":1,"a":2,"\u0061":3,"a":{"a":4}}"#);
}
