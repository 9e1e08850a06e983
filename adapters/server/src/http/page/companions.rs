//! Companions: setup codes, and the sessions that they opened.

use axum::extract::State;
use axum::response::Response;
use handfast_store::SessionFilter;
use maud::{Markup, html};
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{SessionView, setup};

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin/companions", "Companions", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let sessions = setup::read(gateway, SessionFilter::Live).await?.sessions;
    Ok(html! {
        section #sessions data-keyed {
            h2 #sessions-title { "Sessions" }
            @if visitor.decides() {
                div #sessions-new .buttons {
                    button type="button" class="main" data-invite="/api/v1/setup" { "Invite a companion …" }
                }
            }
            @for session in &sessions { (row(session, visitor)) }
            @if sessions.is_empty() {
                div #sessions-none .empty {
                    p { "No phone or program has a session. The terminal shows a setup code as a QR code:" }
                    (words::command("handfast companions invite"))
                }
            }
        }
    })
}

fn row(session: &SessionView, visitor: &Visitor) -> Markup {
    let name = session.device_label.as_deref().unwrap_or("A companion");
    let path = |what: &str| format!("/api/v1/sessions/{}/{what}", session.id);
    html! {
        article .row id=(format!("s-{}", session.id)) {
            h3 { (name) " " span.room { (session.profile) } }
            p {
                (words::state(if session.linked { "linked" } else { "offline" }))
                " since " (words::ago(session.issued_at)) ", ends " (words::until(session.expires_at))
                ", by " (words::maker(&session.made_by))
            }
            @if visitor.decides() {
                div.buttons {
                    (Call::post("Prolong", path("refresh"), json!({})).button(name))
                    (Call::post("Revoke", path("revoke"), json!({}))
                        .asks(format!("{name} is logged out, and what it made ends with its session."))
                        .button(name))
                }
            }
        }
    }
}
