//! What wpa_supplicant reports, in the terms of NetworkManager.

use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security};

use crate::provisioning::radio::{ACCESS_POINT_ADDRESS, WifiNetwork};

/// Scans without the network after which it counts as not found.
const SCANS: u8 = 3;

/// What an event means for an attempt to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// A scan has ended.
    Scanned,
    /// The attempt goes on, or ends, with this report.
    Report(RadioReport),
    /// The network is joined and can be asked for an address.
    Associated,
}

/// The events of one attempt.
#[derive(Debug)]
pub(super) struct JoinEvents {
    /// `true` if the network takes SAE, whose refusal of a passphrase names no cause.
    has_sae: bool,
    missed: u8,
}

impl JoinEvents {
    pub(super) const fn new(has_sae: bool) -> Self {
        Self { has_sae, missed: 0 }
    }

    /// Reads an event.
    pub(super) fn read(&mut self, event: &str) -> Meaning {
        let text = event.split_once('>').map_or(event, |(_, text)| text);
        let changed = |state, reason| Meaning::Report(RadioReport::Changed { state, reason });
        let failed = |reason| changed(DeviceState::Failed, reason);
        match text.split_whitespace().next().unwrap_or_default() {
            "CTRL-EVENT-SCAN-RESULTS" | "CTRL-EVENT-SCAN-FAILED" => Meaning::Scanned,
            "CTRL-EVENT-CONNECTED" => Meaning::Associated,
            "Trying" | "SME:" => changed(DeviceState::Config, Reason::Other(0)),
            "Associated" => changed(DeviceState::NeedAuth, Reason::Other(0)),
            "CTRL-EVENT-DISCONNECTED" => {
                changed(DeviceState::NeedAuth, Reason::SupplicantDisconnect)
            }
            "CTRL-EVENT-NETWORK-NOT-FOUND" => {
                self.missed = self.missed.saturating_add(1);
                if self.missed < SCANS { Meaning::Nothing } else { failed(Reason::SsidNotFound) }
            }
            "CTRL-EVENT-SSID-TEMP-DISABLED" if text.contains("reason=WRONG_KEY") => {
                failed(Reason::NoSecrets)
            }
            // SAE proves the passphrase before the association.
            "CTRL-EVENT-SSID-TEMP-DISABLED" if self.has_sae => failed(Reason::SsidNotFound),
            "CTRL-EVENT-SSID-TEMP-DISABLED" => failed(Reason::SupplicantFailed),
            "CTRL-EVENT-TERMINATING" => Meaning::Report(RadioReport::Refused),
            _ => Meaning::Nothing,
        }
    }
}

/// Reads the loss of a joined network from an event. To change from one access point of the network
/// to another is none.
pub(super) fn loss(event: &str) -> Option<RadioReport> {
    if event.contains("CTRL-EVENT-DISCONNECTED") {
        let (state, reason) = (DeviceState::Disconnected, Reason::SupplicantDisconnect);
        return Some(RadioReport::Changed { state, reason });
    }
    event.contains("CTRL-EVENT-TERMINATING").then_some(RadioReport::Refused)
}

/// Reads the list of a scan. Lines that are none are left out.
pub(super) fn scan_results(text: &str) -> Vec<WifiNetwork> {
    let network = |line: &str| {
        let mut fields = line.split('\t');
        let (_bssid, _frequency) = (fields.next()?, fields.next()?);
        let (signal, flags, ssid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(WifiNetwork {
            ssid: unescape(ssid)?,
            signal: signal.parse().ok()?,
            security: security(flags),
        })
    };
    text.lines().filter_map(network).collect()
}

fn security(flags: &str) -> Security {
    match (flags.contains("PSK"), flags.contains("SAE")) {
        (true, true) => Security::Wpa2Wpa3,
        (true, false) => Security::Wpa2,
        (false, true) => Security::Wpa3,
        (false, false) if flags.contains("EAP") => Security::Enterprise,
        (false, false) if flags.contains("WEP") => Security::Wep,
        (false, false) => Security::Open,
    }
}

/// Reads a name in which bytes are written as `\xNN` and the like; `None` if it is no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'e' => 0x1b,
                other => other,
            },
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns `true` if the status tells an address that a network gave.
pub(super) fn has_address(status: &str) -> bool {
    status.lines().filter_map(|line| line.strip_prefix("ip_address=")).any(|address| {
        address.parse::<std::net::Ipv4Addr>().is_ok_and(|address| {
            !address.is_unspecified() && !address.is_link_local() && address != ACCESS_POINT_ADDRESS
        })
    })
}

#[cfg(test)]
mod tests {
    use handfast_core::flow::provisioning::outcome::{JoinWatch, Outcome, Progress};
    use handfast_core::flow::provisioning::radio::Seen;

    use super::*;

    /// Plays events behind what a scan found, and returns the outcome.
    fn outcome(security: Option<Security>, events: &[&str]) -> Progress {
        let seen = security.map(|security| Seen { security, signal: -50 });
        let mut attempt = JoinEvents::new(security.is_some_and(Security::has_sae));
        let mut watch = JoinWatch::new();
        let mut last = watch.report(RadioReport::Scanned(seen));
        for event in events {
            if let Meaning::Report(report) = attempt.read(event) {
                assert_eq!(last, Progress::Going, "it ended before {event}");
                last = watch.report(report);
            }
        }
        last
    }

    const TRIES: &str = "<3>Trying to associate with 02:00:00:00:01:00 (SSID='Home' freq=2437 MHz)";
    const ASSOCIATED: &str = "<3>Associated with 02:00:00:00:01:00";
    const DROPPED: &str = "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15";

    #[test]
    fn a_wrong_wpa2_passphrase_is_a_wrong_password() {
        let wrong = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"Home\" auth_failures=1 \
                     duration=10 reason=WRONG_KEY";
        let played = outcome(Some(Security::Wpa2), &[TRIES, ASSOCIATED, DROPPED, wrong]);
        assert_eq!(played, Progress::Failed(Outcome::WrongPassword { certain: true }));
    }

    #[test]
    fn a_refused_sae_is_probably_a_wrong_password_and_a_refused_association_is_not() {
        let refused = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"Home\" auth_failures=1 \
                       duration=10 reason=CONN_FAILED";
        let played = outcome(Some(Security::Wpa3), &["<3>SME: Trying to authenticate", refused]);
        assert_eq!(played, Progress::Failed(Outcome::WrongPassword { certain: false }));
        let played = outcome(Some(Security::Wpa2), &[TRIES, refused]);
        assert_eq!(played, Progress::Failed(Outcome::RadioBusy));
    }

    #[test]
    fn a_network_that_three_scans_do_not_show_is_not_found() {
        let missed = "<3>CTRL-EVENT-NETWORK-NOT-FOUND ";
        assert_eq!(outcome(None, &[missed, missed]), Progress::Going);
        let played = outcome(None, &[missed, missed, missed]);
        assert_eq!(played, Progress::Failed(Outcome::NetworkNotFound));
    }

    #[test]
    fn an_association_asks_for_an_address_and_the_programs_end_is_a_busy_radio() {
        let connected =
            "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0]";
        assert_eq!(JoinEvents::new(false).read(connected), Meaning::Associated);
        let played = outcome(Some(Security::Open), &[TRIES, "<3>CTRL-EVENT-TERMINATING "]);
        assert_eq!(played, Progress::Failed(Outcome::RadioBusy));
    }

    #[test]
    fn a_joined_network_is_lost_by_a_disconnection_and_not_by_another_of_its_access_points() {
        let (state, reason) = (DeviceState::Disconnected, Reason::SupplicantDisconnect);
        assert_eq!(loss(DROPPED), Some(RadioReport::Changed { state, reason }));
        assert_eq!(loss("<3>CTRL-EVENT-TERMINATING "), Some(RadioReport::Refused));
        for event in [TRIES, ASSOCIATED, "<3>CTRL-EVENT-CONNECTED - Connection to 02:00"] {
            assert_eq!(loss(event), None);
        }
    }

    #[test]
    fn a_scan_is_read_with_its_security_and_names_in_any_script() {
        let text = "bssid / frequency / signal level / flags / ssid\n\
            02:00:00:00:01:00\t2437\t-45\t[WPA2-PSK-CCMP][ESS]\tHome\n\
            02:00:00:00:02:00\t5180\t-72\t[WPA2-SAE-CCMP][ESS]\tcaf\\xc3\\xa9 \\\"x\\\"\n\
            02:00:00:00:03:00\t2412\t-60\t[WPA2-PSK+SAE-CCMP][ESS]\tBoth\n\
            02:00:00:00:04:00\t2412\t-80\t[ESS]\tFree\n\
            02:00:00:00:05:00\t2412\t-80\t[WEP][ESS]\tOld\n\
            02:00:00:00:06:00\t2412\t-80\t[WPA2-EAP-CCMP][ESS]\tOffice\n\
            02:00:00:00:07:00\t2412\t-80\t[ESS]\t\\xff\n";
        let found: Vec<_> = scan_results(text)
            .into_iter()
            .map(|network| (network.ssid, network.signal, network.security))
            .collect();
        let network = |ssid: &str, signal, security| (ssid.to_owned(), signal, security);
        assert_eq!(
            found,
            [
                network("Home", -45, Security::Wpa2),
                network("café \"x\"", -72, Security::Wpa3),
                network("Both", -60, Security::Wpa2Wpa3),
                network("Free", -80, Security::Open),
                network("Old", -80, Security::Wep),
                network("Office", -80, Security::Enterprise),
            ]
        );
    }

    #[test]
    fn an_address_counts_only_if_a_network_gave_it() {
        for (status, has) in [
            ("wpa_state=COMPLETED\nip_address=192.168.1.20\n", true),
            ("wpa_state=COMPLETED\n", false),
            ("ip_address=169.254.3.4", false),
            ("ip_address=192.168.4.1", false),
            ("ip_address=none", false),
        ] {
            assert_eq!(has_address(status), has, "{status}");
        }
    }
}
