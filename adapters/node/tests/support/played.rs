//! A NetworkManager that is played, on a bus of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use handfast_node::provisioning::{NetworkManagerRadio, NetworkManagerSettings, Radio};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../host-tests/interop/network_manager.py");
const MANAGER: &str = "/org/freedesktop/NetworkManager";
const MOCK: &str = "org.freedesktop.DBus.Mock";
const WITHIN: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(30);

/// A NetworkManager that is played, and its bus. Both end with this value.
pub(crate) struct PlayedNetworkManager {
    address: String,
    bus: zbus::Connection,
    dir: tempfile::TempDir,
    _programs: [Child; 2],
}

impl PlayedNetworkManager {
    pub(crate) async fn start(parameters: &Value) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let address = format!("unix:path={}", dir.path().join("bus").display());
        let daemon = start(Command::new("dbus-daemon").args([
            "--session",
            "--nofork",
            "--print-address=1",
            &format!("--address={address}"),
        ]));
        let daemon = says(daemon, "unix:path=").await;
        let played = start(
            Command::new("/usr/bin/python3")
                .args(["-m", "dbusmock", "--template", SCRIPT, "--parameters"])
                .arg(parameters.to_string())
                .arg("--logfile")
                .arg(dir.path().join("log"))
                .env("DBUS_SYSTEM_BUS_ADDRESS", &address),
        );
        let played = says(played, "NetworkManager is played").await;
        let bus = zbus::connection::Builder::address(address.as_str());
        let bus = bus.build().await.expect("the bus");
        Self { address, bus, dir, _programs: [daemon, played] }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The directory in which dnsmasq finds its configuration.
    pub(crate) fn dnsmasq(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn radio(&self) -> Box<dyn Radio> {
        Box::new(NetworkManagerRadio::new(NetworkManagerSettings {
            bus: Some(self.address.clone()),
            dnsmasq: Some(self.dnsmasq().to_owned()),
            interface: None,
        }))
    }

    /// Plays states of the device, with their reasons.
    pub(crate) async fn play(&self, states: &[(u32, u32)]) {
        let service = Some("org.freedesktop.NetworkManager");
        self.bus.call_method(service, MANAGER, Some(MOCK), "Play", &states).await.expect("plays");
    }

    /// Returns the calls so far: each the method's name, then its arguments.
    pub(crate) async fn calls(&self) -> Vec<Vec<Value>> {
        let service = Some("org.freedesktop.NetworkManager");
        let answer =
            self.bus.call_method(service, MANAGER, Some(MOCK), "Calls", &()).await.expect("tells");
        let body = answer.body();
        serde_json::from_str(body.deserialize().expect("a text")).expect("JSON")
    }

    /// Returns the names of the calls so far that are one of these.
    pub(crate) async fn names(&self, wanted: &[&str]) -> Vec<String> {
        let calls = self.calls().await;
        let names = calls.iter().filter_map(|call| call[0].as_str());
        names.filter(|name| wanted.contains(name)).map(ToOwned::to_owned).collect()
    }

    /// Waits until a call has come that fits.
    pub(crate) async fn until_called(&self, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let called = async {
            loop {
                if let Some(call) = self.calls().await.into_iter().find(|call| fits(call)) {
                    return call;
                }
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::time::timeout(WITHIN, called).await.expect("the call comes")
    }
}

fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("dbus-daemon and python3-dbusmock are installed")
}

/// Reads what a program says up to this, and leaves the rest unread.
async fn says(mut child: Child, words: &str) -> Child {
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let said = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(words) {
                return true;
            }
        }
        false
    };
    let said = tokio::time::timeout(WITHIN, said).await;
    assert!(said.is_ok_and(|said| said), "it never says {words}");
    child
}
