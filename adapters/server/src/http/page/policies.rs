//! Approvals in advance: what they still approve, and their ends.

use handfast_core::registry::policies::POLICY_USES;
use maud::{Markup, html};
use serde_json::json;

use super::Visitor;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{PolicyView, policies};

/// Returns the policies that are not over.
pub(super) async fn section(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let policies = policies::in_force(gateway).await?;
    Ok(html! {
        section #policies data-keyed {
            h2 #policies-title { "Approved in advance" }
            @if visitor.decides() {
                div #policies-new .buttons {
                    button type="button" class="plain" data-policy="/api/v1/pairing/policies"
                        data-most=(POLICY_USES) { "Approve a network …" }
                }
            }
            @for policy in &policies { (row(policy, visitor)) }
            @if policies.is_empty() {
                div #policies-none .empty {
                    p { "Everybody is asked about. Nodes with keys that ask from a network are approved unseen, for a time and a number, with:" }
                    (words::command("handfast approve --from 192.168.1.0/24 --until 10m --max 20"))
                }
            }
        }
    })
}

fn row(policy: &PolicyView, visitor: &Visitor) -> Markup {
    let from = &policy.from;
    html! {
        article .row id=(format!("a-{}", policy.id)) {
            h3 { "From " code { (from) } }
            p {
                (words::state(&policy.state)) " for " (policy.left) " more"
                @if policy.used > 0 { ", " (policy.used) " approved" }
                ", ends " (words::until(policy.ends_at)) ", by " (words::maker(&policy.made_by))
            }
            @match &policy.permissions {
                Some(permissions) => { (words::permissions(permissions)) }
                None => { p.none { "They may do what the gateway is set up to give." } }
            }
            @if visitor.decides() {
                (Call {
                    method: "DELETE",
                    ..Call::post("End", format!("/api/v1/pairing/policies/{}", policy.id), json!({}))
                }
                .asks(format!("Nobody from {from} is approved unseen any more. Nodes that it has approved stay approved."))
                .button(&format!("the approval of {from}")))
            }
        }
    }
}
