//! The frame around each part of the page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_core::crypto::fingerprint::Fingerprint;
use maud::{DOCTYPE, Markup, html};

use super::{PATH, Visitor, words};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;

/// The parts of the page: path and name.
const PARTS: [(&str, &str); 9] = [
    ("/admin", "Waiting"),
    ("/admin/nodes", "Nodes"),
    ("/admin/codes", "Codes"),
    ("/admin/companions", "Companions"),
    ("/admin/senders", "Senders"),
    ("/admin/certificates", "Certificates"),
    ("/admin/operators", "Operators"),
    ("/admin/log", "Audit log"),
    ("/admin/health", "Health"),
];

/// The header with which the module asks for the part that changes.
const PART: &str = "x-handfast-part";

/// A request for a part of the page.
pub(super) struct Asked {
    pub(super) visitor: Visitor,
    live: bool,
}

impl FromRequestParts<Gateway> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, gateway).await?;
        let live = parts.headers.get(PART).is_some_and(|part| part == "live");
        Ok(Self { visitor, live })
    }
}

impl Asked {
    /// Answers with a part of the page: within its frame, or alone for the module.
    pub(super) fn answer(
        &self,
        gateway: &Gateway,
        path: &str,
        title: &str,
        live: Result<Markup, AdminFailure>,
    ) -> Response {
        let (status, live) = match live {
            Ok(live) => (StatusCode::OK, live),
            Err(failure) => {
                let (status, _, message) = failure.told();
                (status, problem(&message))
            }
        };
        let body = if self.live { live } else { whole(gateway, &self.visitor, path, title, &live) };
        (status, body).into_response()
    }
}

/// Returns a section that says what is wrong.
fn problem(text: &str) -> Markup {
    html! { section #problem role="alert" { h2 { "This cannot be shown" } p { (text) } } }
}

/// Returns the whole page.
fn whole(gateway: &Gateway, visitor: &Visitor, path: &str, title: &str, live: &Markup) -> Markup {
    let name = gateway.name().unwrap_or("Handfast");
    let fingerprint = gateway.fingerprint().to_string();
    let keys = gateway.keys();
    let older = keys.0.older().map(|older| Fingerprint::of(older.pair.public()).to_string());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="handfast-csrf" content=(visitor.0.csrf_token());
                title { (title) " · " (name) }
                link rel="icon" href="/admin/files/icon.svg";
                link rel="stylesheet" href="/admin/files/page.css";
                script type="module" src="/admin/files/page.js" {}
            }
            body {
                a.skip href="#live" { "Skip to the content" }
                header {
                    div.gateway {
                        strong { (name) }
                        details {
                            summary { "Fingerprint" }
                            (words::fingerprint(&fingerprint))
                            @if let Some(older) = &older {
                                p { "before: " (words::fingerprint(older)) }
                            }
                        }
                    }
                    nav aria-label="Parts" {
                        ul {
                            @for (to, label) in PARTS {
                                @let here = to == path || (to != PATH && path.starts_with(to));
                                li { a href=(to) aria-current=[here.then_some("page")] { (label) } }
                            }
                        }
                    }
                    div.visitor {
                        span { (visitor.0.name()) " (" (visitor.0.role().as_str()) ")" }
                        button type="button" class="plain" data-logout { "Log out" }
                    }
                }
                noscript {
                    p.banner role="alert" {
                        "This page needs JavaScript, which keeps it up to date and carries out its \
                         buttons. The command line does the same: "
                        (words::command("handfast pending"))
                    }
                }
                p #stale .banner role="alert" hidden {}
                main {
                    h1 { (title) }
                    div #live tabindex="-1" data-keyed { (live) }
                }
                footer {
                    p {
                        "A command here finds the gateway in its usual place; where its data is \
                         elsewhere, add "
                        code { "--data DIR" } "."
                    }
                }
                p #announced .heard role="status" aria-live="polite" {}
                dialog #dialog aria-labelledby="dialog-title" {}
            }
        }
    }
}
