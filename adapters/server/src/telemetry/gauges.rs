//! Gauges that are counted anew for each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::counting::{Counter, Family, Gauge, Registry, encode_registry};
use super::labels::Labels;

/// The present counts of nodes, links and other things, filled in for each scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Nodes that wait for the operator.
    pub nodes_pending: u64,
    /// Nodes that are paired and not muted.
    pub nodes_paired: u64,
    /// Nodes that are paired and muted.
    pub nodes_muted: u64,
    /// Revoked nodes that the registry remembers.
    pub nodes_revoked: u64,
    /// Links that are open.
    pub links: u64,
    /// Connections that have not authenticated.
    pub waiting_connections: u64,
    /// Sessions of companions that have neither ended nor expired.
    pub sessions: u64,
    /// Writes of the registry that failed since the gateway started.
    pub store_write_failures: u64,
    /// `true` if the last write of the registry failed.
    pub store_failing: bool,
    /// Decisions that are in force and not stored.
    pub decisions_unstored: u64,
    /// The gateways that share the registry; `None` if it cannot be shared.
    pub sharing: Option<LiveSharing>,
    /// Senders that wait for approval, by channel. A missing channel has none; a repeated one has
    /// the sum.
    pub senders_pending: Vec<(String, u64)>,
}

/// The present state of gateways that share a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LiveSharing {
    /// Seconds since this gateway last read what others have changed.
    pub behind_seconds: f64,
    /// `true` if this gateway admits nobody, because it has not read that for too long.
    pub cut_off: bool,
    /// Gateways whose leases run.
    pub present: u64,
    /// `true` if the bus is connected; `None` for a gateway without one.
    pub bus_connected: Option<bool>,
}

/// Appends the gauges. No state is kept, so simultaneous scrapes do not disturb each other.
pub(super) fn encode(
    live: &Live,
    senders_pending: BTreeMap<Arc<str>, u64>,
    text: &mut String,
) -> fmt::Result {
    let mut registry = Registry::default();
    let plain = [
        (
            "pairing_sessions_live",
            "Sessions of companions that are neither ended nor over",
            live.sessions,
        ),
        ("handfast_links", "Links that are open", live.links),
        (
            "handfast_waiting_connections",
            "Connections that have not authenticated",
            live.waiting_connections,
        ),
        (
            "handfast_store_failing",
            "Whether the last write of the registry failed",
            u64::from(live.store_failing),
        ),
        (
            "handfast_decisions_unstored",
            "Decisions that are in force and not stored",
            live.decisions_unstored,
        ),
    ];
    let failures = Counter::<u64>::default();
    failures.inc_by(live.store_write_failures);
    registry.register(
        "handfast_store_write_failures",
        "Writes of the registry that failed",
        failures,
    );
    for (name, help, count) in plain {
        registry.register(name, help, gauge(count));
    }

    if let Some(LiveSharing { behind_seconds, cut_off, present, bus_connected }) = live.sharing {
        let behind = Gauge::<f64, AtomicU64>::default();
        behind.set(behind_seconds);
        registry.register(
            "handfast_gateway_behind_seconds",
            "Time since the last complete reading of what other gateways have changed",
            behind,
        );
        registry.register(
            "handfast_gateway_cut_off",
            "Whether the gateway admits nobody, because that was too long ago",
            gauge(u64::from(cut_off)),
        );
        registry.register(
            "handfast_gateways_present",
            "Gateways of the registry whose leases run",
            gauge(present),
        );
        if let Some(is_connected) = bus_connected {
            registry.register(
                "handfast_bus_connected",
                "Whether the bus to the other gateways is connected",
                gauge(u64::from(is_connected)),
            );
        }
    }

    let nodes = Family::<Labels, Gauge>::default();
    let standings = [
        ("pending", live.nodes_pending),
        ("paired", live.nodes_paired),
        ("muted", live.nodes_muted),
        ("revoked", live.nodes_revoked),
    ];
    for (standing, count) in standings {
        set(&nodes, &Labels::closed("standing", standing), count);
    }
    registry.register("handfast_nodes", "Nodes in the registry", nodes);

    let pending = Family::<Labels, Gauge>::default();
    for (channel, count) in senders_pending {
        set(&pending, &Labels::open("channel", &channel), count);
    }
    registry.register("pairing_requests_pending", "Senders that wait to be approved", pending);
    encode_registry(text, &registry)
}

fn set(family: &Family<Labels, Gauge>, labels: &Labels, count: u64) {
    family.get_or_create(labels).set(signed(count));
}

fn gauge(count: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(signed(count));
    gauge
}

fn signed(count: u64) -> i64 {
    // The library's gauges are signed.
    i64::try_from(count).unwrap_or(i64::MAX)
}
