//! Certificates of nodes, and the authority that issues them.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use handfast_core::registry::authority::Role;
use handfast_store::CertificateFilter;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{CertificateView, certificates};

/// The number of certificates on a page.
const PAGE: usize = 50;

#[derive(Deserialize, Default)]
pub(super) struct ShowQuery {
    /// Serial number of the last certificate of the page before.
    after: Option<String>,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    asked: Asked,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Response {
    let Query(query) = query.unwrap_or_default();
    let live = live(&gateway, &asked.visitor, &query).await;
    asked.answer(&gateway, "/admin/certificates", "Certificates", live)
}

async fn live(
    gateway: &Gateway,
    visitor: &Visitor,
    query: &ShowQuery,
) -> Result<Markup, AdminFailure> {
    let after = query.after.as_deref();
    let found = certificates::page(gateway, CertificateFilter::Live, after, PAGE).await?;
    let (all, authority, next) = (found.certificates, found.authority, found.next);
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
            @for one in &all { (row(one, visitor)) }
            @if all.is_empty() && after.is_none() && next.is_none() {
                div #certificates-none .empty {
                    p { "No node has a certificate. Nodes get one when they are paired, where the gateway listens for them:" }
                    (words::command("handfast serve --listen-mtls 0.0.0.0:8766"))
                }
            }
        }
        (words::further("/admin/certificates?", next.as_deref(), "certificates"))
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
