//! The units and the rule that a package installs: they are read by systemd where it is there, and
//! what matters of them is checked in any case.

#![cfg(feature = "provision")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

const NODE: &str = include_str!("../packaging/handfast-node.service");
const PROVISION: &str = include_str!("../packaging/handfast-node-provision.service");
const RULES: &str = include_str!("../packaging/handfast-node.rules");
const SYSUSERS: &str = include_str!("../packaging/handfast-node.sysusers");
const INSTALLED: &str = "/usr/bin/handfast-node";
/// Where NetworkManager names what a rule can allow.
const POLICY: &str = "/usr/share/polkit-1/actions/org.freedesktop.NetworkManager.policy";
/// Exposure that `systemd-analyze security` may find, in tenths; a service without a sandbox has 96.
const EXPOSURE: &str = "20";

/// Returns the settings of a unit's section, each with its values in order.
fn section<'u>(unit: &'u str, wanted: &str) -> BTreeMap<&'u str, Vec<&'u str>> {
    let (mut settings, mut inside) = (BTreeMap::<_, Vec<_>>::new(), false);
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('=') {
            Some((key, value)) if inside => settings.entry(key).or_default().push(value),
            Some(_) => {}
            None => inside = line == format!("[{wanted}]"),
        }
    }
    settings
}

fn one<'u>(settings: &BTreeMap<&'u str, Vec<&'u str>>, key: &str) -> &'u str {
    match settings.get(key).map(Vec::as_slice) {
        Some([value]) => value,
        other => panic!("{key}: {other:?}"),
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn each_unit_runs_as_a_user_of_its_own_with_no_right_that_it_does_not_need() {
    for (unit, capabilities) in [(NODE, ""), (PROVISION, "CAP_NET_BIND_SERVICE")] {
        let service = section(unit, "Service");
        for (key, value) in [
            ("User", "handfast-node"),
            ("StateDirectory", "handfast-node"),
            ("StateDirectoryMode", "0700"),
            ("UMask", "0077"),
            ("CapabilityBoundingSet", capabilities),
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateDevices", "yes"),
            ("PrivateTmp", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
            ("SystemCallArchitectures", "native"),
        ] {
            assert_eq!(one(&service, key), value, "{key}");
        }
        assert_eq!(service.get("SystemCallFilter").unwrap()[0], "@system-service");
    }
    let ambient = one(&section(PROVISION, "Service"), "AmbientCapabilities");
    assert_eq!(ambient, "CAP_NET_BIND_SERVICE");
    assert_eq!(section(NODE, "Service").get("AmbientCapabilities"), None);
    // Both use one state directory.
    assert_eq!(one(&section(PROVISION, "Unit"), "Conflicts"), "handfast-node.service");
    assert!(SYSUSERS.lines().any(|line| line.starts_with("u handfast-node ")));
}

#[test]
fn the_program_takes_the_command_line_of_each_unit() {
    for unit in [NODE, PROVISION] {
        let service = section(unit, "Service");
        let line = one(&service, "ExecStart");
        let arguments = line.strip_prefix(INSTALLED).expect("the installed program");
        let arguments: Vec<_> = arguments.split_whitespace().chain(["--help"]).collect();
        let shown = Command::new(env!("CARGO_BIN_EXE_handfast-node")).args(&arguments).output();
        let shown = shown.expect("the program runs");
        assert!(shown.status.success(), "{line}: {}", said(&shown));
    }
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_finds_nothing_wrong_with_the_units_and_little_exposed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, unit) in
        [("handfast-node.service", NODE), ("handfast-node-provision.service", PROVISION)]
    {
        let path = dir.path().join(name);
        let program = env!("CARGO_BIN_EXE_handfast-node");
        std::fs::write(&path, unit.replace(INSTALLED, program)).unwrap();
        let analyze = |arguments: &[&str]| {
            let analyzed = Command::new("systemd-analyze").args(arguments).arg(&path).output();
            analyzed.expect("systemd-analyze runs")
        };
        let verified = analyze(&["verify", "--man=no"]);
        // It also speaks of other units of this machine.
        assert!(
            verified.status.success() && !said(&verified).contains(name),
            "{}",
            said(&verified)
        );
        let exposed =
            analyze(&["security", "--offline=yes", "--no-pager", "--threshold", EXPOSURE]);
        assert!(exposed.status.success(), "{}", said(&exposed));
    }
}

/// Returns the actions that the rule allows.
fn allowed() -> Vec<&'static str> {
    let list = RULES.split_once("var allowed = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.expect("a list");
    list.split('"').filter(|text| text.starts_with("org.")).collect()
}

#[test]
fn the_rule_allows_its_user_what_the_node_asks_of_network_manager_and_nothing_else() {
    let allowed = allowed();
    let ends: Vec<_> = allowed
        .iter()
        .map(|action| action.strip_prefix("org.freedesktop.NetworkManager.").expect("its action"))
        .collect();
    assert_eq!(
        ends,
        [
            "network-control",
            "settings.modify.system",
            "wifi.scan",
            "wifi.share.protected",
            "wifi.share.open",
            "checkpoint-rollback",
            "enable-disable-wifi",
        ]
    );
    assert!(RULES.contains(r#"subject.user === "handfast-node" && allowed.indexOf(action.id)"#));
    assert_eq!(RULES.matches("polkit.Result.").count(), 1, "it allows, and decides nothing else");
    if Path::new(POLICY).exists() {
        let policy = std::fs::read_to_string(POLICY).unwrap();
        for action in allowed {
            assert!(policy.contains(&format!("action id=\"{action}\"")), "{action}");
        }
    }
}
