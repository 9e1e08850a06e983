//! The real hostapd, dnsmasq, wpa_supplicant and a program for DHCP, on a cable between two
//! interfaces instead of the air. What only a radio can do is in the tests of the events.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use handfast_core::flow::provisioning::radio::{Security, Seen};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::*;
use crate::provisioning::cable::{self, WITHIN, passes, says};

const STEP: Duration = Duration::from_millis(50);

fn inside(test: &str) -> Result<PathBuf, cable::Outside> {
    cable::inside(&format!("hostapd::real_tests::{test}"))
}

fn radio(directory: &Path, name: &str, interface: &str) -> HostapdRadio {
    let mut settings = HostapdSettings::new(interface.to_owned(), directory.join(name));
    settings.hostapd_driver = "none".to_owned();
    settings.supplicant_driver = "wired".to_owned();
    HostapdRadio::new(settings)
}

fn network(ssid: &str, passphrase: &str) -> WifiCredentials {
    WifiCredentials { ssid: ssid.to_owned(), passphrase: Zeroizing::new(passphrase.to_owned()) }
}

/// The processes that name this directory in their arguments.
fn processes(directory: &Path) -> BTreeSet<String> {
    let named = directory.to_str().unwrap();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let is_ours = arguments.contains(named) && !arguments.contains("real_tests");
        if is_ours && let Some(program) = arguments.split('\0').next() {
            found.insert(program.to_owned());
        }
    }
    found
}

#[tokio::test]
#[ignore = "needs root, hostapd, dnsmasq, iproute2 and udhcpc"]
async fn the_access_point_gives_a_phone_an_address_and_ends_with_all_it_started() {
    let directory =
        match inside("the_access_point_gives_a_phone_an_address_and_ends_with_all_it_started") {
            Ok(directory) => directory,
            Err(test) => return passes(test).await,
        };
    let mut radio = radio(&directory, "node", "air0");
    for passphrase in ["", "a label's secret"] {
        let network = network("jarvis-\"1a\"\n=2b", passphrase);
        radio.start_access_point(&network).await.expect("it starts");
        radio.start_access_point(&network).await.expect("it runs");
        let files = processes(&directory);
        assert_eq!(files.into_iter().collect::<Vec<_>>(), ["dnsmasq", "hostapd", "sh"]);
        assert!(says("ip", &["-4", "address", "show", "air0"]).contains("192.168.4.1/24"));
        cable::gets_address(&directory);
    }
    radio.stop_access_point().await;
    assert!(processes(&directory).is_empty());
    assert!(!says("ip", &["-4", "address", "show", "air0"]).contains("192.168.4.1"));
}

#[tokio::test]
#[ignore = "needs root, hostapd, dnsmasq, wpa_supplicant, iproute2 and udhcpc"]
async fn a_network_is_joined_with_an_address_and_leaving_ends_everything() {
    let directory = match inside("a_network_is_joined_with_an_address_and_leaving_ends_everything")
    {
        Ok(directory) => directory,
        Err(test) => return passes(test).await,
    };
    let mut router = radio(&directory, "router", "air1");
    router.start_access_point(&network("Home", "")).await.expect("it starts");
    let mut node = radio(&directory, "node", "air0");
    let (reports, mut reported) = mpsc::unbounded_channel();
    node.join(&network("Home", ""), false, &reports).await;
    let mut told = Vec::new();
    while let Ok(report) = reported.try_recv() {
        told.push(report);
    }
    let changed = |state| RadioReport::Changed { state, reason: Reason::Other(0) };
    assert_eq!(told[0], RadioReport::Scanned(None));
    assert_eq!(
        told[told.len() - 2..],
        [changed(DeviceState::IpConfig), changed(DeviceState::Activated)],
        "{told:?}"
    );
    assert!(says("ip", &["-4", "address", "show", "air0"]).contains("192.168.4."));
    node.leave().await;
    assert!(!says("ip", &["-4", "address", "show", "air0"]).contains("192.168.4."));
    router.stop_access_point().await;
    assert!(processes(&directory).is_empty(), "{:?}", processes(&directory));
}

#[tokio::test]
#[ignore = "needs root, wpa_supplicant and iproute2"]
async fn the_supplicant_takes_every_kind_of_network() {
    let directory = match inside("the_supplicant_takes_every_kind_of_network") {
        Ok(directory) => directory,
        Err(test) => return passes(test).await,
    };
    let mut settings = radio(&directory, "node", "air0").settings;
    private_file::create_directory(&settings.directory).unwrap();
    settings.country = Country::parse("DE");
    let mut supplicant = Supplicant::start(&settings).await.expect("it starts");
    for security in [Security::Open, Security::Wpa2, Security::Wpa3, Security::Wpa2Wpa3] {
        for passphrase in ["", "quo\"te d pass", &"x".repeat(63), &"ab".repeat(32)] {
            let seen = Some(Seen { security, signal: -50 });
            if is_passphrase(passphrase, seen) {
                let added = supplicant.add(&network("Ho\"me\n", passphrase), seen).await;
                assert!(added.is_ok(), "{security:?} {}: {added:?}", passphrase.len());
            }
        }
    }
    let refused = supplicant.add(&network("Home", "short"), None).await.expect_err("too short");
    assert!(!refused.to_string().contains("short"), "no error repeats a passphrase: {refused}");
    supplicant.stop().await;
}

#[tokio::test]
#[ignore = "needs root, hostapd, dnsmasq and iproute2"]
async fn programs_end_with_a_node_that_is_killed() {
    let test = "programs_end_with_a_node_that_is_killed";
    let (dir, mut command) = match inside(test) {
        Ok(directory) => {
            let mut radio = radio(&directory, "node", "air0");
            radio.start_access_point(&network("setup", "")).await.expect("it starts");
            writeln!(std::io::stdout(), "\nit runs").unwrap();
            return std::future::pending().await;
        }
        Err(test) => *test,
    };
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let runs = async { while lines.next_line().await.unwrap().expect("it runs") != "it runs" {} };
    tokio::time::timeout(WITHIN, runs).await.expect("it runs");
    assert_eq!(processes(dir.path()).into_iter().collect::<Vec<_>>(), ["dnsmasq", "hostapd", "sh"]);
    child.kill().await.unwrap();
    let ended = async {
        while !processes(dir.path()).is_empty() {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(WITHIN, ended).await.expect("they end");
}

#[test]
#[ignore = "needs hostapd and dnsmasq"]
fn hostapd_and_dnsmasq_find_no_fault_in_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = HostapdSettings::new("none0".to_owned(), dir.path().to_owned());
    settings.country = Country::parse("DE");
    let file = dir.path().join("hostapd.conf");
    let text =
        config::hostapd(&settings, &dir.path().join("control"), &network("Home", "a secret = #1"));
    let text = text.expect("a passphrase");
    std::fs::write(&file, text.as_bytes()).unwrap();
    // There is no radio, so it always ends with an error, but not because of its file.
    let said = says("hostapd", &[file.to_str().unwrap()]);
    assert!(!said.contains("errors found"), "{said}");
    let broken = text.replace("rsn_pairwise", "rsn_pairwize");
    std::fs::write(&file, broken).unwrap();
    assert!(says("hostapd", &[file.to_str().unwrap()]).contains("1 errors found"), "it reads it");
    let file = dir.path().join("dnsmasq.conf");
    std::fs::write(&file, config::dnsmasq("none0", dir.path())).unwrap();
    let file = format!("--conf-file={}", file.display());
    let ended = Command::new("dnsmasq").args(["--test", &file]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_radio_is_blocked_if_software_blocks_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!is_blocked(&dir.path().join("missing")));
    let radio = dir.path().join("rfkill0");
    std::fs::create_dir(&radio).unwrap();
    for (kind, soft, blocked) in
        [("wlan", "1", true), ("wlan", "0", false), ("bluetooth", "1", false)]
    {
        std::fs::write(radio.join("type"), format!("{kind}\n")).unwrap();
        std::fs::write(radio.join("soft"), format!("{soft}\n")).unwrap();
        assert_eq!(is_blocked(dir.path()), blocked, "{kind} {soft}");
    }
}

#[test]
fn a_block_is_ended_for_wifi_radios_and_for_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let soft = |name: &str| dir.path().join(name).join("soft");
    for (name, kind) in [("rfkill0", "bluetooth"), ("rfkill1", "wlan"), ("rfkill2", "wlan")] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("type"), kind).unwrap();
        std::fs::write(soft(name), "1\n").unwrap();
    }
    let ended = unblock(dir.path());
    assert!(ended.len() == 2 && ended.iter().all(|(_, ended)| ended.is_ok()), "{ended:?}");
    assert!(!is_blocked(dir.path()) && unblock(dir.path()).is_empty());
    assert_eq!(std::fs::read_to_string(soft("rfkill0")).unwrap(), "1\n");
}

#[test]
fn a_country_stands_in_the_files_of_both_programs() {
    let mut settings = HostapdSettings::new("wlan0".to_owned(), "/nowhere".into());
    let made = |settings: &HostapdSettings| {
        let control = Path::new("/control");
        let hostapd = config::hostapd(settings, control, &network("Home", "")).unwrap();
        (hostapd.to_string(), config::supplicant(settings, control))
    };
    let (hostapd, supplicant) = made(&settings);
    assert!(!hostapd.contains("country") && !supplicant.contains("country"));
    settings.country = Country::parse("nz");
    let (hostapd, supplicant) = made(&settings);
    assert!(hostapd.contains("\ncountry_code=NZ\nieee80211d=1\n"), "{hostapd}");
    assert!(supplicant.contains("\ncountry=NZ\n"), "{supplicant}");
}

#[test]
fn a_passphrase_cannot_write_another_line_into_hostapds_file() {
    let settings = HostapdSettings::new("wlan0".to_owned(), "/nowhere".into());
    let made = |ssid, passphrase: &str| {
        let text = config::hostapd(&settings, Path::new("/control"), &network(ssid, passphrase));
        text.map(|text| text.to_string())
    };
    for passphrase in
        ["abcdefgh\nignore_broadcast_ssid=1", "short", &"x".repeat(64), "ümlaut passphrase"]
    {
        assert_eq!(made("Home", passphrase), None);
    }
    let text = made("Home\nchannel=1", "abcdefgh").expect("a passphrase");
    assert!(text.contains("ssid2=486f6d650a6368616e6e656c3d31\n"), "{text}");
    assert_eq!(text.matches("channel=").count(), 1, "{text}");
}
