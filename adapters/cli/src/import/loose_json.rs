//! Tolerant treatment of JSON files: byte order marks, other encodings, white space, and numbers
//! that are not JSON.

use std::borrow::Cow;

/// Decodes a file. A byte order mark is dropped, and UTF-16 is recognized by its own. Invalid
/// sequences become replacement characters.
pub(super) fn decoded(bytes: &[u8]) -> String {
    let units = |unit: fn([u8; 2]) -> u16| {
        bytes.as_chunks::<2>().0.iter().skip(1).map(move |bytes| unit(*bytes))
    };
    let wide = |units: &mut dyn Iterator<Item = u16>| {
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(&mut units(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => wide(&mut units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(without_mark(bytes)).into_owned(),
    }
}

/// Strips the byte order mark of UTF-8.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Splits JSON into strings (`true`) and the pieces between them (`false`).
fn pieces(json: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = json;
    let mut is_text = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = if is_text {
            let mut escaped = false;
            // The search starts behind the opening quotation mark.
            let closing = rest.bytes().enumerate().skip(1).find(|(_, byte)| {
                let closes = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                closes
            });
            closing.map_or(rest.len(), |(at, _)| at + 1)
        } else {
            rest.find('"').unwrap_or(rest.len())
        };
        let (piece, behind) = rest.split_at(end);
        let was_text = is_text;
        (rest, is_text) = (behind, !was_text);
        Some((was_text, piece))
    })
}

/// Replaces `NaN` and `Infinity` outside strings by null. The program that writes these files uses
/// them, but JSON has no such numbers.
pub(super) fn without_numbers_that_are_none(json: &str) -> Cow<'_, str> {
    const NONE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !NONE.iter().any(|word| json.contains(word)) {
        return Cow::Borrowed(json);
    }
    let mended = pieces(json).map(|(is_text, piece)| match is_text {
        true => Cow::Borrowed(piece),
        false => Cow::Owned(
            NONE.iter().fold(piece.to_owned(), |piece, word| piece.replace(word, "null")),
        ),
    });
    Cow::Owned(mended.collect())
}

pub(super) fn without_space(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (is_text, piece) in pieces(json) {
        if is_text {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_only_outside_of_texts() {
        assert_eq!(
            without_space("{ \"a b\" : [ 1,\n 2 ] , \"c\\\" d\": \" \\\\\" }"),
            r#"{"a b":[1,2],"c\" d":" \\"}"#
        );
        assert_eq!(without_space("\"never closed "), "\"never closed ");
    }

    #[test]
    fn numbers_that_are_none_are_null_and_texts_stay() {
        let mended = without_numbers_that_are_none(r#"[NaN, -Infinity, Infinity, "NaN", "\"NaN"]"#);
        assert_eq!(mended, r#"[null, null, null, "NaN", "\"NaN"]"#);
    }
}
