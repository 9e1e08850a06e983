//! The gateway that runs on the data directory, as it tells itself.

use std::path::Path;
use std::time::Duration;

use handfast_server::admin::{CertificateList, GatewayList, GatewayView, PairingView, StatusView};
use hyper::Method;

use super::Finding;
use crate::client::{NO_GATEWAY, ask, ask_all, read};
use crate::clock::mend;
use crate::data::DataPlace;
use crate::hints::{Next, how_to_start, start_service};
use crate::print::{ago, counted, in_words, safe};

/// Asks for as many certificates as are looked at.
const CERTIFICATES: &str = "/api/v1/certs?limit=100";

/// What is known of a gateway by asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// `true` if it answers.
    pub(super) answers: bool,
    /// `true` if its registry is in a database.
    pub(super) shares: bool,
}

/// Adds what the gateway tells. `config` is its configuration file, if it was named.
pub(super) async fn findings(
    data: &DataPlace,
    config: Option<&Path>,
    found: &mut Vec<Finding>,
) -> Running {
    let gateways = ask_all(data, "/api/v1/gateways").await;
    let gateways = gateways.ok().and_then(|text| read::<GatewayList>(&text).ok());
    let gateways = gateways.map(|list| list.gateways).unwrap_or_default();
    let running = Running { answers: true, shares: !gateways.is_empty() };
    let among = of_gateways(&gateways);
    let is_cut_off = among.iter().any(|one| one.name == "cut_off");
    found.extend(among);
    let status = match ask(data, Method::GET, "/api/v1/status", None).await {
        Ok(status) => status,
        // It answers what it can without its registry.
        Err(_) if is_cut_off => return running,
        Err(end) => {
            let said = end.message();
            // The hint in it does not know the configuration, and what mends it is told beside.
            let what = match said.split_once("; ") {
                Some((what, _)) if what.starts_with(NO_GATEWAY) => what,
                Some(_) | None => said.as_str(),
            };
            let mend = match data.is_shared() {
                true => format!("start it with: {}", start_service()),
                false => how_to_start(data, config),
            };
            found.push(Finding::new("not_running", format!("no gateway answers: {what}"), mend));
            return Running { answers: false, shares: false };
        }
    };
    if let Ok(status) = read::<StatusView>(&status) {
        found.extend(of_status(&status, data, running.shares));
    }
    let pairing = ask(data, Method::GET, "/api/v1/pairing", None).await;
    if let Some(pairing) = pairing.ok().and_then(|text| read::<PairingView>(&text).ok())
        && pairing.locked
    {
        found.push(Finding::new(
            "pairing_locked",
            format!(
                "pairing by PIN is closed by {}",
                counted(pairing.wrong_pins.into(), "wrong PIN")
            ),
            format!("look at who guessed, then: {}", Next::OpenPairing.on(data)),
        ));
    }
    let certificates = ask(data, Method::GET, CERTIFICATES, None).await;
    let certificates = certificates.ok().and_then(|text| read::<CertificateList>(&text).ok());
    found.extend(certificates.and_then(|list| foreign(&list, data)));
    running
}

/// Returns what is wrong if nodes have certificates of another authority.
fn foreign(list: &CertificateList, data: &DataPlace) -> Option<Finding> {
    let foreign = list.certificates.iter().filter(|one| one.is_foreign).count();
    (foreign > 0).then(|| {
        Finding::new(
            "foreign_certificates",
            format!(
                "no trusted root of the gateway's certificate authority has signed {} of its nodes",
                counted(foreign as u64, "certificate")
            ),
            format!(
                "if the registry was restored, end the gateway and put the folder ca back that belongs \
                 to it; otherwise the nodes fetch new ones with their own keys; see which: {}",
                Next::Certificates.on(data)
            ),
        )
    })
}

/// Returns what is wrong among the gateways of a shared registry.
fn of_gateways(gateways: &[GatewayView]) -> Vec<Finding> {
    let mut found = Vec::new();
    let contact = gateways.iter().find_map(|one| one.contact.as_deref());
    if let Some(contact) = contact.filter(|contact| *contact != "in touch") {
        found.push(Finding::new(
            "cut_off",
            format!("this gateway is {} from its registry and admits nobody", safe(contact)),
            "start the database, or mend the way to it; the gateway goes on by itself then",
        ));
    }
    let silent = gateways.iter().filter(|one| !one.is_present && !one.is_this);
    found.extend(silent.map(|one| {
        let silent = Duration::try_from_secs_f64(one.silent_seconds).unwrap_or_default();
        let at = one.address.as_ref().map_or_else(String::new, |at| format!(", at {}", safe(at)));
        Finding::new(
            "gateway_silent",
            format!(
                "the gateway {}{at} was not heard of for {}: it has ended, or does not reach the \
                 database",
                safe(&one.name),
                in_words(silent.as_secs())
            ),
            "start it again, or mend its way to the database; one that was ended for good is forgotten \
             a day after it was last heard of",
        )
    }));
    if gateways.iter().any(|one| one.bus.as_deref() == Some("away")) {
        found.push(Finding::new(
            "bus_away",
            "the NATS server of the bus cannot be reached: messages to nodes that are linked at \
             other gateways are refused",
            "start the NATS server, or correct bus, bus_authorities or the way to it; the gateway \
             goes on by itself then",
        ));
    }
    let older =
        gateways.iter().filter(|one| one.is_present && one.version != env!("CARGO_PKG_VERSION"));
    found.extend(older.map(|one| {
        Finding::new(
            "gateway_version",
            format!(
                "the gateway {} runs version {}, and this command is {}",
                safe(&one.name),
                safe(&one.version),
                env!("CARGO_PKG_VERSION")
            ),
            "update all gateways of the registry to one version",
        )
    }));
    found
}

fn of_status(status: &StatusView, data: &DataPlace, shares: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if status.clock.state != "good" {
        found.push(Finding::new(
            "clock",
            format!("the clock is {}", safe(&status.clock.state)),
            mend(&status.clock, data).unwrap_or_else(|| Next::Clock.on(data).to_string()),
        ));
    }
    if status.store.failing {
        found.push(Finding::new(
            "store_failing",
            "the registry cannot be written",
            format!(
                "{}; what narrows rights is in force until the gateway restarts",
                match shares {
                    true => "start the database, or mend the way to it",
                    false => "free disk space",
                }
            ),
        ));
    }
    for one in &status.store.unstored {
        found.push(Finding::new(
            "unstored",
            format!("not stored yet: {}, since {}", safe(&one.what), ago(one.since)),
            "it is stored by itself once the registry can be written: do not restart before",
        ));
    }
    if status.quarantined > 0 {
        found.push(Finding::new(
            "quarantined",
            format!("{} nodes are in quarantine: their state was copied", status.quarantined),
            format!("see the ways out: {}", Next::Nodes.on(data)),
        ));
    }
    if let Some(since) = status.older_than_nodes_since {
        found.push(Finding::new(
            "older_than_nodes",
            format!("the registry was restored from a backup, as nodes showed {}", ago(since)),
            format!("look through who was put out since: {}", Next::Nodes.on(data)),
        ));
    }
    if let Some(rotation) = &status.key_rotation
        && rotation.loses_nodes_soon
    {
        found.push(Finding::new(
            "key_overlap_ends",
            format!(
                "{} nodes have not taken the gateway's new key, and lose it at {}",
                rotation.missing, rotation.until
            ),
            format!("let them link before then; see how many are left: {}", Next::Status.on(data)),
        ));
    }
    if let Some(version) = &status.version
        && version != env!("CARGO_PKG_VERSION")
    {
        found.push(Finding::new(
            "version",
            format!(
                "the gateway that runs is version {}, and this command is {}",
                safe(version),
                env!("CARGO_PKG_VERSION")
            ),
            "restart the gateway, so that the version that is installed runs",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(more: &str) -> StatusView {
        let text = format!(
            r#"{{"nodes":{{"pending":0,"paired":1,"muted":0,"revoked":0}},"linked":0,"waiting":0,
            "clock":{{"state":"good","now":"1970-01-01T00:00:09Z","system":"1970-01-01T00:00:09Z",
            "mark":"1970-01-01T00:00:09Z","synchronised":true}}{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn names(more: &str) -> Vec<&'static str> {
        let data = DataPlace::named("/data".as_ref());
        of_status(&status(more), &data, false).iter().map(|one| one.name).collect()
    }

    #[test]
    fn what_is_wrong_among_gateways_is_found() {
        let gateway = |contact: Option<&str>, version: &str| GatewayView {
            name: "gateway-1".to_owned(),
            is_this: contact.is_some(),
            is_present: true,
            contact: contact.map(str::to_owned),
            bus: None,
            bus_away_seconds: None,
            links: 0,
            behind_seconds: 0.0,
            silent_seconds: 0.0,
            version: version.to_owned(),
            address: None,
        };
        let names = |gateways: &[GatewayView]| {
            of_gateways(gateways).iter().map(|one| one.name).collect::<Vec<_>>()
        };
        let current = env!("CARGO_PKG_VERSION");
        assert_eq!(names(&[gateway(Some("in touch"), current), gateway(None, current)]), [""; 0]);
        assert_eq!(names(&[gateway(Some("cut off"), current)]), ["cut_off"]);
        assert_eq!(names(&[gateway(None, "0.0.1")]), ["gateway_version"]);
        let dead = GatewayView { is_present: false, ..gateway(None, "0.0.1") };
        assert_eq!(names(&[dead]), ["gateway_silent"]);
        let bus = |state: &str| GatewayView {
            bus: Some(state.to_owned()),
            ..gateway(Some("in touch"), current)
        };
        assert_eq!(names(&[bus("connected")]), [""; 0]);
        assert_eq!(names(&[bus("away")]), ["bus_away"]);
    }

    #[test]
    fn each_thing_that_a_gateway_tells_of_is_found() {
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names(r#","version":"0.0.1""#), ["version"]);
        assert_eq!(names(&format!(r#","version":"{}""#, env!("CARGO_PKG_VERSION"))), [""; 0]);
        assert_eq!(names(r#","quarantined":2"#), ["quarantined"]);
        assert_eq!(
            names(r#","older_than_nodes_since":"1970-01-01T00:00:05Z""#),
            ["older_than_nodes"]
        );
        let rotation = |soon: bool| {
            format!(
                r#","key_rotation":{{"older_fingerprint":"A","begun":"2027-01-15T08:00:00Z",
                "until":"2027-02-14T08:00:00Z","confirmed":1,
                "missing":2,"loses_nodes_soon":{soon}}}"#
            )
        };
        assert_eq!(names(&rotation(false)), [""; 0]);
        assert_eq!(names(&rotation(true)), ["key_overlap_ends"]);
        let failing = r#","store":{"failing":true,"failures":3,"unstored":[{"what":"x is out","since":"1970-01-01T00:00:01Z"}]}"#;
        assert_eq!(names(failing), ["store_failing", "unstored"]);
        let mut doubtful = status("");
        doubtful.clock.state = "doubtful".to_owned();
        let data = DataPlace::named("/data".as_ref());
        assert_eq!(of_status(&doubtful, &data, false)[0].name, "clock");
    }
}
