//! Pieces of text that several parts of the page show.

use maud::{Markup, html};

use crate::http::admin::{PermissionsView, Time};

/// Returns a time, which the module shows as a time ago.
pub(super) fn ago(at: Time) -> Markup {
    html! { time datetime=(at) data-ago { (at) } }
}

/// Returns a time to come, which the module counts down.
pub(super) fn until(at: Time) -> Markup {
    html! { time datetime=(at) data-until { (at) } }
}

/// Returns a time in RFC 3339.
pub(super) fn text(at: Time) -> String {
    at.to_string()
}

/// Returns a fingerprint, whose groups stay whole where a line ends.
pub(super) fn fingerprint(text: &str) -> Markup {
    html! { span.fingerprint { @for group in text.split('-') { span { (group) } " " } } }
}

/// Returns an id, of which the beginning suffices.
pub(super) fn id(text: &str) -> Markup {
    let short = text.get(..8).unwrap_or(text);
    html! { code title=(text) { (short) } }
}

/// Returns permissions, a line each; `None` is said in words.
pub(super) fn permissions(view: &PermissionsView) -> Markup {
    let all = [("read", &view.read), ("write", &view.write), ("admin", &view.admin)];
    if all.iter().all(|(_, patterns)| patterns.is_empty()) {
        return html! { span.none { "nothing" } };
    }
    html! {
        ul.scopes {
            @for (action, patterns) in all {
                @for pattern in patterns { li { (action) " " code { (pattern) } } }
            }
        }
    }
}

/// Returns scopes as `read:/lights/**`, a line each.
pub(super) fn scopes(texts: &[String]) -> Markup {
    html! {
        ul.scopes {
            @for scope in texts {
                @let (action, pattern) = scope.split_once(':').unwrap_or(("", scope));
                li { (action) " " code { (pattern) } }
            }
        }
    }
}

/// Returns who made something, for people.
pub(super) fn maker(made_by: &str) -> Markup {
    match made_by.split_once(' ') {
        Some((kind @ ("session" | "login"), made)) => html! { (kind) " " (id(made)) },
        Some(_) | None => html! { (made_by) },
    }
}

/// Returns a state as a word with a sign, so that no state is told by its colour alone.
pub(super) fn state(word: &str) -> Markup {
    let (sign, kind) = match word {
        "online" | "linked" | "active" | "good" | "delivered" | "allowed" | "paired" | "valid"
        | "in force" => ("●", "good"),
        "pending" | "offered" | "issued" | "unapproved" => ("◐", "wait"),
        "muted" => ("◌", "quiet"),
        "revoked" | "blocked" | "quarantined" | "superseded" => ("✕", "bad"),
        _ => ("○", "plain"),
    };
    html! { span.state data-kind=(kind) { span aria-hidden="true" { (sign) } " " (word) } }
}

/// Returns the link to the next page, if there is one. `path` ends with `?` or `&`.
pub(super) fn further(path: &str, after: Option<&str>, what: &str) -> Markup {
    html! {
        @if let Some(after) = after {
            nav #further aria-label=(format!("Further {what}")) {
                a href=(format!("{path}after={after}")) { "Further " (what) }
            }
        }
    }
}

/// Returns a command to copy.
pub(super) fn command(text: &str) -> Markup {
    html! { code.command { (text) } }
}

/// A call of the API that a button makes.
pub(super) struct Call<'t> {
    /// The words on the button.
    pub(super) label: &'t str,
    /// Method of the call.
    pub(super) method: &'t str,
    /// Path of the call.
    pub(super) path: String,
    /// Body of the call.
    pub(super) body: serde_json::Value,
    /// The question before it, for what is final.
    pub(super) asks: Option<String>,
    /// `main`, `plain` or `danger`.
    pub(super) kind: &'t str,
}

impl<'t> Call<'t> {
    /// Creates a `POST` without a question.
    pub(super) fn post(label: &'t str, path: String, body: serde_json::Value) -> Self {
        Self { label, method: "POST", path, body, asks: None, kind: "plain" }
    }

    /// Asks this before the call.
    pub(super) fn asks(self, question: String) -> Self {
        Self { asks: Some(question), kind: "danger", ..self }
    }

    /// Makes it the button that is expected to be pressed.
    pub(super) fn main(self) -> Self {
        Self { kind: "main", ..self }
    }

    /// Returns the button. `about` names what it is about, for those who hear the page.
    pub(super) fn button(&self, about: &str) -> Markup {
        html! {
            button type="button" class=(self.kind) data-method=(self.method) data-call=(self.path)
                data-body=(self.body) data-asks=[&self.asks]
                aria-label=(format!("{} {about}", self.label)) { (self.label) }
        }
    }
}
