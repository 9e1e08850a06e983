//! Certificates of nodes, and the authority that issues them.

use axum::extract::State;
use axum::response::Response;
use handfast_core::registry::authority::Role;
use handfast_store::CertificateFilter;
use maud::{Markup, html};
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{CertificateView, certificates};

/// The number of certificates that are shown at once.
const MOST: usize = 200;

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin/certificates", "Certificates", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let found = certificates::read(gateway, CertificateFilter::Live).await?;
    let (all, authority) = (found.certificates, found.authority);
    Ok(html! {
        section #authority {
            h2 { "Authority" }
            dl {
                dt { "Root" } dd { code { (authority.fingerprint) } }
                dt { "Trusted roots" } dd { (authority.roots) }
            }
            @if visitor.0.role() == Role::Owner {
                (Call::post("New root", "/api/v1/ca/rotate".to_owned(), json!({}))
                    .asks("The gateway makes a new root. Nodes get certificates of it when they renew; the old root is trusted until then.".to_owned())
                    .button("for certificates"))
            }
        }
        section #certificates data-keyed {
            h2 #certificates-title { "Certificates in force" }
            @for one in all.iter().take(MOST) { (row(one, visitor)) }
            @if all.len() > MOST {
                p #unseen { (all.len() - MOST) " more: " (words::command("handfast certs list")) }
            }
            @if all.is_empty() {
                div #certificates-none .empty {
                    p { "No node has a certificate. Nodes get one when they are paired, where the gateway listens for them:" }
                    (words::command("handfast serve --listen-mtls 0.0.0.0:8766"))
                }
            }
        }
    })
}

fn row(one: &CertificateView, visitor: &Visitor) -> Markup {
    let name = one.friendly_name.as_deref().unwrap_or("A node");
    html! {
        article .row id=(format!("x-{}", one.serial)) {
            h3 { a href=(format!("/admin/nodes/{}", one.node_id)) { (name) } }
            p { (words::state(&one.state)) " serial " code { (one.serial) } ", ends " (words::text(one.not_after)) }
            @if visitor.decides() {
                (Call::post("Revoke", "/api/v1/certs/revoke".to_owned(), json!({"certificate": one.serial}))
                    .asks(format!("{name} gets no other certificate for this key, and its links over mutual TLS end."))
                    .button(&format!("the certificate of {name}")))
            }
        }
    }
}
