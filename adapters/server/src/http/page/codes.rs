//! Pairing by PIN, codes, and provisioning tokens.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::pairing::{self, PinView};
use crate::http::admin::{Acting, CodeView, PairingView};

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin/codes", "Codes", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let codes = pairing::read(gateway).await?;
    let codes: Vec<_> = codes.iter().filter(|code| code.kind != "pin").collect();
    Ok(html! {
        (pins(gateway, visitor).await?)
        section #codes data-keyed {
            h2 #codes-title { "Codes and tokens" }
            @if visitor.decides() {
                div #codes-new .buttons {
                    button type="button" class="main" data-mint="/api/v1/pairing/codes" { "New code …" }
                }
            }
            @for code in &codes { (row(code, visitor)) }
            @if codes.is_empty() {
                div #codes-none .empty {
                    p { "No code is valid now. A code pairs a node without a question; the terminal shows one as a QR code:" }
                    (words::command("handfast codes create --qr"))
                }
            }
        }
    })
}

/// Returns the pairing window, with the PINs that are shown while it is open.
pub(super) async fn pins(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let window = pairing::show(Acting(gateway.clone())).await?.0;
    let pins = pairing::read_pins(gateway, &visitor.caller()).await?;
    Ok(html! {
        section #pins data-keyed {
            h2 #pins-title { "Pairing by PIN" }
            (state(&window, visitor))
            @for pin in &pins { (card(pin)) }
        }
    })
}

fn state(window: &PairingView, visitor: &Visitor) -> Markup {
    let set = |label, body| Call::post(label, "/api/v1/pairing".to_owned(), body);
    let about = "pairing by PIN";
    html! {
        div #window {
            @if window.locked {
                p role="alert" { "Too many wrong PINs have closed it. Nobody pairs by PIN until you open it again." }
            } @else if window.open {
                p {
                    "Open"
                    @if let Some(closes) = window.closes_at { ", closes " (words::until(closes)) }
                    @if window.wrong_pins == 1 { ", 1 wrong PIN" }
                    @if window.wrong_pins > 1 { ", " (window.wrong_pins) " wrong PINs" }
                }
            } @else {
                p { "Closed. While it is open, a node that asks shows up here with a PIN to type at it." }
            }
            @if !window.guessers.is_empty() {
                ul.lines {
                    @for guesser in &window.guessers {
                        li { (guesser.source) ": " (guesser.wrong_pins) " wrong"
                            @if guesser.locked { ", locked out" } }
                    }
                }
            }
            @if visitor.decides() {
                div.buttons {
                    @if window.open { (set("Close", json!({"open": false})).button(about)) }
                    (set(if window.open { "Start again" } else { "Open for 5 minutes" }, json!({"open": true, "for_seconds": 300})).button(about))
                }
            }
        }
    }
}

fn card(pin: &PinView) -> Markup {
    html! {
        article .card .pin id=(format!("p-{}", pin.id)) {
            h3 { (pin.label) }
            p { (words::fingerprint(&pin.fingerprint)) }
            @match &pin.pin {
                Some(digits) => { p.digits { (digits) } }
                None => { p.none { "The PIN is shown to those who may decide." } }
            }
            dl {
                @if let Some(source) = &pin.source { dt { "From" } dd { (source) } }
                dt { "Ends" } dd { (words::until(pin.expires_at)) }
                dt { "Tries left" } dd { (pin.guesses_left) }
            }
        }
    }
}

fn row(code: &CodeView, visitor: &Visitor) -> Markup {
    let named = match (&code.selector, &code.node_id) {
        (Some(selector), _) => selector.as_str(),
        (None, Some(node_id)) => node_id.as_str(),
        (None, None) => code.id.as_str(),
    };
    html! {
        article .row id=(format!("c-{}", code.id)) {
            h3 { code { (named) } @if !code.label.is_empty() { " " (code.label) } }
            p {
                @if code.kind == "provisioning" { "token for a node, " }
                "for " (code.uses_left) " more, ends " (words::until(code.expires_at))
                ", " (code.guesses_left) " tries left, by " (words::maker(&code.made_by))
            }
            @if let Some(permissions) = &code.permissions { (words::permissions(permissions)) }
            @if visitor.decides() {
                (Call { method: "DELETE", ..Call::post("Withdraw", format!("/api/v1/pairing/codes/{}", code.id), json!({})) }
                    .asks(format!("Nobody can use {named} any more."))
                    .button(named))
            }
        }
    }
}
