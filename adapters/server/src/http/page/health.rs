//! The health of the gateway: store, disk, clock, certificates, limits, counts and extensions.

use axum::extract::State;
use axum::response::Response;
use handfast_core::registry::authority::Role;
use maud::{Markup, html};
use serde_json::json;

use super::frame::Asked;
use super::words::{self, Call};
use super::{Visitor, sparkline};
use crate::gateway::Gateway;
use crate::gateway::day_counts::Sample;
use crate::gateway::sharing::BusState;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{Acting, StatusView, status};
use crate::operator::health::HealthReport;

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin/health", "Health", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let view = status(Acting(gateway.clone())).await?.0;
    let report = gateway.health().await?;
    Ok(html! {
        (gateways(gateway))
        (store(&view, gateway.sharing().is_some()))
        (disk(&report))
        section #clock {
            h2 { "Clock" }
            p { (words::state(&view.clock.state)) " " (words::text(view.clock.now)) }
            p { "The system " @if view.clock.synchronised { "says" } @else { "does not say" } " that its clock is synchronised." }
            @if let Some(mend) = &view.clock.mend { p role="alert" { (mend) } }
        }
        (key(gateway, visitor).await?)
        (certificates(&report))
        (limits(&report))
        (over_time(gateway))
        section #counts {
            h2 { "Counts" }
            dl {
                dt { "Links" } dd { (view.linked) }
                dt { "Connections that have not authenticated" } dd { (view.waiting) }
                dt { "Nodes that wait" } dd { (view.nodes.pending) }
                dt { "Paired" } dd { (view.nodes.paired) }
                dt { "Muted" } dd { (view.nodes.muted) }
                dt { "Revoked" } dd { (view.nodes.revoked) }
                dt { "In quarantine" } dd { (view.quarantined) }
            }
        }
        section #extensions {
            h2 { "Extensions" }
            @let all = gateway.inner.extensions.status();
            @if all.is_empty() { p.none { "none" } }
            ul.lines { @for one in &all { li {
                bdi { (one.name) } " " (words::state(if one.alive { "linked" } else { "down" }))
                @if let Some(error) = &one.last_error { " " (error) }
            } } }
        }
    })
}

/// The gateways of a registry that several share.
fn gateways(gateway: &Gateway) -> Markup {
    let Some(sharing) = gateway.sharing() else { return html! {} };
    html! {
        section #gateways {
            h2 { "Gateways of this registry" }
            @if let Some(problem) = sharing.problem() { p role="alert" { (problem) } }
            ul.lines {
                @for one in &sharing.gateways {
                    @let state = if one.is_present { "linked" } else { "down" };
                    li {
                        bdi { (one.name) } " " (words::state(state)) " "
                        @if one.is_present { (one.told.links) @if one.told.links == 1 { " link, " } @else { " links, " } }
                        "version "
                        (one.told.program)
                        @if !one.is_present { ", not heard of for " (one.silent.as_secs()) " s" }
                        @else if one.told.behind.as_secs() > 1 { ", " (one.told.behind.as_secs()) " s behind" }
                        @if one.name == sharing.gateway {
                            ", this one"
                            @match sharing.bus {
                                Some(BusState::Connected) => { ", connected to the bus" }
                                Some(BusState::Away { lasts }) => {
                                    ", without the bus for " (lasts.as_secs()) " s"
                                }
                                None => {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn store(view: &StatusView, is_shared: bool) -> Markup {
    let mend = match is_shared {
        true => "start its database, or mend the way to it",
        false => "free disk space",
    };
    html! {
        section #store {
            h2 { "Store" }
            @if view.store.failing {
                p role="alert" { "The registry cannot be written: " (mend) ". What narrows rights is in force all the same, until the gateway restarts." }
            } @else { p { (words::state("good")) " writes arrive" } }
            @if view.store.failures > 0 { p { (view.store.failures) " writes failed since the start" } }
            @if !view.store.unstored.is_empty() {
                ul.lines { @for one in &view.store.unstored { li { (one.what) ", since " (words::ago(one.since)) } } }
            }
            @if let Some(since) = view.older_than_nodes_since {
                p role="alert" { "This gateway was restored from a backup: nodes have newer marks than it remembers, since " (words::ago(since)) }
            }
        }
    }
}

fn disk(report: &HealthReport) -> Markup {
    html! {
        section #disk {
            h2 { "Disk" }
            @match report.disk_left {
                None => { p.none { "The registry is in memory or in a database, or its disk cannot be looked at." } }
                Some(left) if report.lacks_room() => {
                    p role="alert" { (bytes(left)) " left: free disk space. A registry that cannot be written lets nobody in." }
                }
                Some(left) => { p { (words::state("good")) " " (bytes(left)) " left" } }
            }
        }
    }
}

async fn key(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let rotation = gateway.key_rotation().await?;
    let owner = visitor.0.role() == Role::Owner;
    Ok(html! {
        section #key {
            h2 { "Key of the gateway" }
            p { (words::fingerprint(&gateway.fingerprint().to_string())) }
            @match &rotation {
                None => {
                    @if owner {
                        (Call::post("New key", "/api/v1/key/rotate".to_owned(), json!({}))
                            .asks("The gateway has a new fingerprint at once, and codes that were made before end. For 30 days nodes may still link with the older key, over which they are told the new one.".to_owned())
                            .button("of the gateway"))
                    }
                }
                Some(rotation) => {
                    p { "The older key is " (words::fingerprint(&rotation.older.to_string())) }
                    p {
                        "It is for nodes that were away, until " (words::text(rotation.until.into())) ". "
                        (rotation.know) " of " (rotation.know.saturating_add(rotation.lack)) " nodes have taken the new key."
                    }
                    @if rotation.is_near && rotation.lack > 0 {
                        p role="alert" { (rotation.lack) " nodes have not taken the new key, and lose this gateway then." }
                    }
                    @if owner {
                        (Call::post("Finish", "/api/v1/key/finish".to_owned(), json!({}))
                            .asks(format!("{} nodes have not taken the new key and lose this gateway: they have to be paired again.", rotation.lack))
                            .button("the rotation of the gateway's key"))
                    }
                }
            }
        }
    })
}

fn certificates(report: &HealthReport) -> Markup {
    html! {
        section #certificate-dates {
            h2 { "Certificates of the gateway" }
            dl {
                dt { "Web listener" }
                dd {
                    @match report.certificate_ends {
                        None => { span.none { "none of its own" } }
                        Some(ends) => { "ends " (words::text(ends.into())) }
                    }
                }
                @for (nth, ends) in report.roots_end.iter().enumerate() {
                    dt { @if nth == 0 { "Root for nodes" } @else { "Older root" } }
                    dd { "ends " (words::text((*ends).into())) ", replaced by itself before" }
                }
            }
            @if report.certificate_is_over() {
                p role="alert" { "The web listener's certificate has ended: browsers and nodes refuse it. Renew its files; the gateway takes them at SIGHUP." }
            } @else if report.certificate_is_due() {
                p role="alert" { "The web listener's certificate ends soon. Renew its files; the gateway takes them at SIGHUP." }
            }
        }
    }
}

fn limits(report: &HealthReport) -> Markup {
    html! {
        section #limits {
            h2 { "Limits" }
            @if report.limits.iter().all(|limit| !limit.is_near()) {
                p { (words::state("good")) " none is near its end" }
            }
            ul.lines {
                @for limit in &report.limits {
                    li {
                        (limit.used) " of " (limit.most) " " (limit.what)
                        @if limit.is_near() {
                            " " strong { "near the limit" }
                            @if let Some(setting) = limit.setting { ", raised by " code { (setting) } }
                        }
                    }
                }
            }
        }
    }
}

fn over_time(gateway: &Gateway) -> Markup {
    let samples = gateway.inner.day_counts.samples();
    let series = |name: &str, count: fn(&Sample) -> u32| {
        let points: Vec<_> = samples.iter().map(|sample| (sample.at, count(sample))).collect();
        sparkline::figure(name, &points)
    };
    html! {
        section #over-time {
            h2 { "The last day" }
            @if samples.len() < 2 { p.none { "The counts of the first minutes are not there yet." } }
            @else {
                (series("Links", |sample| sample.linked))
                (series("Nodes that wait", |sample| sample.pending))
                (series("Connections that have not authenticated", |sample| sample.waiting))
            }
        }
    }
}

/// Returns a number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (bits, unit) in UNITS {
        if let whole @ 1.. = count >> bits {
            return format!("{whole} {unit}");
        }
    }
    format!("{count} bytes")
}
