//! What is wrong with a body: every field with its problem, and no value.

use handfast_core::wire::provisioning::{BodyDefect, Problem};
use serde_json::{Value, json};

/// Returns what is wrong with a body that cannot be used.
pub(super) fn detail(defect: &BodyDefect) -> Value {
    match defect {
        BodyDefect::NotJson => json!([{
            "type": "json_invalid",
            "loc": ["body", 0],
            "msg": "JSON decode error",
            "ctx": { "error": "Expecting value" },
        }]),
        BodyDefect::NotAnObject => json!([{
            "type": "model_attributes_type",
            "loc": ["body"],
            "msg": "Input should be a valid dictionary or object to extract fields from",
        }]),
        BodyDefect::Fields(fields) => {
            fields.iter().map(|(name, problem)| of_field(name, problem)).collect()
        }
    }
}

/// Returns what is wrong with a request without a body, or with one that is no text.
pub(super) fn no_text(body: &[u8]) -> Value {
    if body.is_empty() {
        json!([{ "type": "missing", "loc": ["body"], "msg": "Field required" }])
    } else {
        detail(&BodyDefect::NotJson)
    }
}

fn of_field(name: &str, problem: Problem) -> Value {
    let (kind, words, context) = match problem {
        Problem::Missing => ("missing", "Field required".to_owned(), None),
        Problem::NotText => ("string_type", "Input should be a valid string".to_owned(), None),
        Problem::Empty => (
            "string_too_short",
            "String should have at least 1 character".to_owned(),
            Some(json!({ "min_length": 1 })),
        ),
        Problem::TooLong(most) => (
            "string_too_long",
            format!("String should have at most {most} characters"),
            Some(json!({ "max_length": most })),
        ),
        Problem::Characters => (
            "value_error",
            "Value error, the text has a character that is not allowed".to_owned(),
            None,
        ),
        Problem::NotAnInvitation => (
            "value_error",
            "Value error, the text is no invitation: copy the whole text that begins with handfast:1?"
                .to_owned(),
            None,
        ),
        Problem::NotACountry => (
            "value_error",
            "Value error, the text is no country: write its two letters of ISO 3166-1, such as DE"
                .to_owned(),
            None,
        ),
        Problem::NotATime => (
            "datetime_parsing",
            "Input should be a valid datetime (RFC 3339, or seconds since 1970)".to_owned(),
            None,
        ),
    };
    let mut entry = json!({ "type": kind, "loc": ["body", name], "msg": words });
    if let Some(context) = context {
        entry["ctx"] = context;
    }
    entry
}
