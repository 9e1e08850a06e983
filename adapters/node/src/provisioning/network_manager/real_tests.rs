//! The messages to NetworkManager, against the real one, without a radio: profiles, checkpoints and
//! what is told of a machine without Wi-Fi. The states of a radio are played elsewhere.

use std::process::Stdio;
use std::time::Duration;

use handfast_core::flow::provisioning::radio::Security;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use zbus::wire::OwnedObjectPath;
use zeroize::Zeroizing;

use super::bus::{Properties, SETTINGS};
use super::profile::{Addresses, Profile};
use super::*;
use crate::provisioning::radio::ACCESS_POINT_ADDRESS;

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../host-tests/interop/network_manager.sh");
const WITHIN: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// `NM_SETTINGS_ADD_CONNECTION2_FLAG_IN_MEMORY`.
const IN_MEMORY: u32 = 0x2;

/// NetworkManager, which ends with this value.
struct Real {
    bus: Bus,
    dir: TempDir,
    _program: Child,
}

impl Real {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = Command::new(SCRIPT)
            .arg(dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = format!("unix:path={}", dir.path().join("bus").display());
        let connect = async {
            loop {
                if let Ok(bus) = Bus::connect(Some(&address)).await
                    && link(&bus).await.is_ok()
                {
                    return bus;
                }
                tokio::time::sleep(STEP).await;
            }
        };
        let bus = tokio::time::timeout(WITHIN, connect).await.expect("NetworkManager starts");
        Self { bus, dir, _program: program }
    }

    /// Returns the wired device as if it were the radio.
    async fn link(&self) -> Device {
        let (path,) = link(&self.bus).await.unwrap();
        Device { bus: self.bus.clone(), path, interface: "link0".to_owned() }
    }

    async fn add(&self, profile: &Profile<'_>) -> Result<OwnedObjectPath, String> {
        let body = (profile, IN_MEMORY, Properties::new());
        let added: Result<(OwnedObjectPath, Properties), _> =
            self.bus.call(SETTINGS, Interface::Settings, "AddConnection2", &body).await;
        added.map(|(path, _)| path).map_err(|why| why.to_string())
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path().join("profiles")).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

/// Finds the wired device.
async fn link(bus: &Bus) -> Result<(OwnedObjectPath,), zbus::Error> {
    bus.call(MANAGER, Interface::Manager, "GetDeviceByIpIface", &"link0").await
}

fn network(ssid: &str, passphrase: &str) -> WifiCredentials {
    WifiCredentials { ssid: ssid.to_owned(), passphrase: Zeroizing::new(passphrase.to_owned()) }
}

fn seen(security: Security) -> Option<Seen> {
    Some(Seen { security, signal: -50 })
}

#[tokio::test]
#[ignore = "needs root, dbus-daemon and NetworkManager"]
async fn networkmanager_takes_every_profile_and_refuses_the_passphrases_that_are_refused_here() {
    let real = Real::start().await;
    for security in [Security::Open, Security::Wpa2, Security::Wpa3, Security::Wpa2Wpa3] {
        for passphrase in
            ["", "short", "12345678", &"x".repeat(63), &"x".repeat(64), &"ab".repeat(32)]
        {
            let (network, seen) = (network("Home", passphrase), seen(security));
            let added = real.add(&profile::network(&network, seen, "wlan0", None, false)).await;
            let secured = security != Security::Open;
            // Without a passphrase the profile is that of an open network.
            let takes = is_passphrase(passphrase, seen) || (secured && passphrase.is_empty());
            let said = format!("{security:?} {} {added:?}", passphrase.len());
            assert_eq!(added.is_ok(), takes, "{said}");
            assert!(passphrase.is_empty() || !said.contains(passphrase), "no error repeats it");
        }
    }
    let hidden = network("Hidden \"café\"", "12345678");
    real.add(&profile::network(&hidden, None, "wlan0", None, true)).await.unwrap();
    for passphrase in ["", "12345678"] {
        for addresses in [Addresses::Shared, Addresses::Own] {
            let network = network("jarvis-1a2b3c4d", passphrase);
            let profile = profile::access_point(&network, "wlan0", ACCESS_POINT_ADDRESS, addresses);
            real.add(&profile).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs root, dbus-daemon and NetworkManager"]
async fn a_profile_is_saved_with_its_passphrase_found_again_and_removed() {
    let real = Real::start().await;
    let (home, other) = (network("Home", "correct horse"), network("Other", "12345678"));
    let mut paths = Vec::new();
    for network in [&home, &other] {
        let profile = profile::network(network, seen(Security::Wpa2), "wlan0", None, false);
        paths.push(real.add(&profile).await.unwrap());
    }
    assert!(real.files().is_empty(), "nothing is on the disk before it has worked");
    let uuid = kept::uuid(&real.bus, &paths[0]).await.unwrap();
    let profile = profile::network(&home, seen(Security::Wpa2), "wlan0", Some(&uuid), true);
    kept::save(&real.bus, &paths[0], &profile).await.unwrap();
    let files = real.files();
    assert!(files.len() == 1 && files[0].contains("psk=correct horse"), "{files:?}");
    assert!(!files[0].contains("autoconnect=false"), "{files:?}");
    kept::remove_all_but(&real.bus, Some(&paths[0])).await.unwrap();
    let kept: Vec<_> = kept::list(&real.bus).await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.ssid.as_str()).collect::<Vec<_>>(), ["Home"]);
    kept::remove_all_but(&real.bus, None).await.unwrap();
    assert!(kept::list(&real.bus).await.unwrap().is_empty() && real.files().is_empty());
}

#[tokio::test]
#[ignore = "needs root, dbus-daemon and NetworkManager"]
async fn a_checkpoint_undoes_new_profiles_and_one_that_was_left_is_rolled_back_first() {
    let real = Real::start().await;
    let device = real.link().await;
    let home = network("Home", "correct horse");
    let profile = profile::network(&home, seen(Security::Wpa2), "wlan0", None, false);
    for left in [false, true] {
        let checkpoint = Checkpoint::create(&device).await.unwrap();
        real.add(&profile).await.unwrap();
        assert_eq!(kept::list(&real.bus).await.unwrap().len(), 1);
        if left {
            // As if the process had died.
            drop(checkpoint);
            Checkpoint::create(&device).await.unwrap().destroy().await.unwrap();
        } else {
            checkpoint.roll_back().await.unwrap();
        }
        assert!(kept::list(&real.bus).await.unwrap().is_empty());
    }
    let checkpoint = Checkpoint::create(&device).await.unwrap();
    real.add(&profile).await.unwrap();
    checkpoint.destroy().await.unwrap();
    assert_eq!(kept::list(&real.bus).await.unwrap().len(), 1, "what has worked stays");
}

#[tokio::test]
#[ignore = "needs root, dbus-daemon and NetworkManager"]
async fn a_machine_without_wifi_refuses_an_access_point_and_lists_nothing() {
    let real = Real::start().await;
    let bus = Some(format!("unix:path={}", real.dir.path().join("bus").display()));
    let settings = NetworkManagerSettings { bus, interface: None, dnsmasq: None };
    let mut radio = NetworkManagerRadio::new(settings);
    assert_eq!(radio.scan().await, []);
    let started = radio.start_access_point(&network("setup", "")).await;
    assert_eq!(started, Err(NoAccessPoint::Refused));
    assert!(!radio.is_captive().await);
}
