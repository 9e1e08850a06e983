//! Operators: their sessions in browsers, and the tokens of their programs.

use axum::extract::State;
use axum::response::Response;
use handfast_core::registry::authority::Role;
use handfast_core::registry::logins::{Login, LoginKind};
use maud::{Markup, html};
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::http::admin::failure::AdminFailure;

/// The number of ended sessions and tokens that are shown.
const ENDED: usize = 20;

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin/operators", "Operators", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let (sessions, ended) = divided(gateway, LoginKind::Session).await?;
    let (tokens, over) = divided(gateway, LoginKind::Token).await?;
    Ok(html! {
        section #sessions data-keyed {
            h2 #sessions-title { "Sessions in browsers" }
            @if visitor.0.role() == Role::Owner && visitor.0.fresh_until() <= gateway.now() {
                div #fresh .empty {
                    p { "Ending a session or a token needs a login of the last ten minutes:" }
                    (words::command("handfast login --role owner"))
                }
            }
            @for login in &sessions { (row(login, visitor, true)) }
            @if sessions.is_empty() {
                div #sessions-none .empty {
                    p { "No operator has logged in with a browser. A link for one:" }
                    (words::command("handfast login"))
                }
            }
        }
        section #tokens data-keyed {
            h2 #tokens-title { "Tokens of programs" }
            @for login in &tokens { (row(login, visitor, true)) }
            @if tokens.is_empty() {
                div #tokens-none .empty {
                    p { "No program has a token. One that only reads gets it with:" }
                    (words::command("handfast tokens create --role viewer"))
                }
            }
        }
        @if !ended.is_empty() || !over.is_empty() {
            section #ended data-keyed {
                h2 #ended-title { "Ended" }
                @for login in ended.iter().chain(&over) { (row(login, visitor, false)) }
            }
        }
    })
}

/// Returns the valid sessions or tokens, and the newest ones that have ended.
async fn divided(
    gateway: &Gateway,
    kind: LoginKind,
) -> Result<(Vec<Login>, Vec<Login>), AdminFailure> {
    let now = gateway.now();
    let all = gateway.logins(kind).await?;
    let (valid, mut ended): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|login| login.admits(now).is_ok());
    ended.reverse();
    ended.truncate(ENDED);
    Ok((valid, ended))
}

fn row(login: &Login, visitor: &Visitor, valid: bool) -> Markup {
    let (name, id) = (login.name.as_str(), hex(login.id.as_bytes()));
    let is_own = login.id == visitor.0.login();
    let (kind, question) = match login.kind {
        LoginKind::Session if is_own => {
            ("operators", "This browser is logged out, and the codes that it made end.".to_owned())
        }
        LoginKind::Session => (
            "operators",
            format!(
                "{name} is logged out, and the codes that the session made end. What it approved stays."
            ),
        ),
        LoginKind::Token => (
            "tokens",
            format!("The program {name} is let in no more, and the codes that it made end."),
        ),
    };
    html! {
        article .row id=(format!("o-{id}")) {
            h3 { (name) " " span.room { (login.role.as_str()) @if is_own { ", this browser" } } }
            p {
                (words::state(if valid { "valid" } else { "ended" })) " " (words::id(&id))
                " made " (words::ago(login.made_at.into()))
                @if let Some(used) = login.used_at {
                    ", used " (words::ago(used.into()))
                    @if let Some(from) = login.used_from { " from " (from) }
                }
                @if valid { ", ends " (words::until(login.expires_at.into())) }
                @else if let Some(at) = login.revoked_at { ", ended " (words::ago(at.into())) }
            }
            @if valid && visitor.0.role() == Role::Owner {
                div.buttons {
                    (Call::post("Revoke", format!("/api/v1/{kind}/{id}/revoke"), json!({}))
                        .asks(question)
                        .button(name))
                }
            }
        }
    }
}
