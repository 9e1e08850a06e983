//! The gateway's announcement on its network: DNS-SD services over multicast DNS (RFC 6763).

use std::net::SocketAddr;
use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::wire::announcement::{Announcement, SERVICE};
use handfast_core::wire::gateway_address::AddressScheme;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

use crate::gateway::Gateway;

/// Maximum length of a service's name in bytes, with room for what makes it unique.
const NAME_BYTES: usize = 48;
/// Time for the goodbye to go out.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// The reason for which a gateway is not announced.
#[derive(Debug, thiserror::Error)]
#[error("the gateway is not announced on its network: {0}")]
pub struct NotAnnounced(#[from] mdns_sd::Error);

/// The announcement of a gateway, which lasts until it is [stopped](Self::stop).
pub struct Announcer {
    daemon: ServiceDaemon,
    announced: Announced,
}

/// What is announced of a gateway.
#[derive(Clone)]
struct Announced {
    /// The gateway's own name, if it has one.
    own_name: Option<String>,
    name: String,
    listeners: Vec<(AddressScheme, SocketAddr)>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").field("name", &self.announced.name).finish_non_exhaustive()
    }
}

impl Announcer {
    /// Announces a gateway of this name and key at those of its listeners that other machines
    /// reach. Each is announced only on the interfaces where it listens. `None` if all of them
    /// listen on loopback.
    ///
    /// # Errors
    /// [`NotAnnounced`] if the system gives no sockets or threads for it.
    pub fn start(
        name: Option<&str>,
        fingerprint: Fingerprint,
        listeners: &[(AddressScheme, SocketAddr)],
    ) -> Result<Option<Self>, NotAnnounced> {
        let reached =
            |(_, at): &&(AddressScheme, SocketAddr)| !at.ip().to_canonical().is_loopback();
        let listeners: Vec<_> = listeners.iter().filter(reached).copied().collect();
        if listeners.is_empty() {
            return Ok(None);
        }
        let own_name = name.map(str::to_owned);
        let name = named(own_name.as_deref(), &fingerprint);
        let announced = Announced { own_name, name, listeners };
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        for service in announced.services(&fingerprint)? {
            daemon.register(service)?;
        }
        Ok(Some(Self { daemon, announced }))
    }

    /// Announces each key that takes the place of the gateway's, as soon as it does, until the
    /// gateway ends or the announcement is stopped.
    pub fn follow(&self, gateway: &Gateway) {
        let (daemon, mut announced) = (self.daemon.clone(), self.announced.clone());
        let mut keys = gateway.shown_fingerprints();
        tokio::spawn(async move {
            while keys.changed().await.is_ok() {
                let fingerprint = *keys.borrow_and_update();
                match announced.renew(&daemon, &fingerprint) {
                    Ok(()) => tracing::info!(%fingerprint, "the new key is announced"),
                    Err(mdns_sd::Error::DaemonShutdown) => return,
                    Err(error) => tracing::warn!(
                        %error,
                        "the new key is not announced on the network; start again to announce it"
                    ),
                }
            }
        });
    }

    /// Returns the name under which the gateway is announced. Where another service has it, a
    /// number is added on the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.announced.name
    }

    /// Takes the announcement back: a goodbye is sent, so that nobody goes on finding this gateway.
    pub async fn stop(self) {
        let Ok(ended) = self.daemon.shutdown() else { return };
        // The thread sends and ends by itself; only the process must not end before.
        let waits = tokio::task::spawn_blocking(move || ended.recv_timeout(GOODBYE_WITHIN));
        let _ = waits.await;
    }
}

impl Announced {
    /// Returns the services of a gateway with this key, one for each listener.
    fn services(&self, fingerprint: &Fingerprint) -> Result<Vec<ServiceInfo>, mdns_sd::Error> {
        let told = |scheme| Announcement { fingerprint: *fingerprint, scheme };
        (1..)
            .zip(&self.listeners)
            .map(|(number, (scheme, at))| service(&self.name, number, *at, &told(*scheme)))
            .collect()
    }

    /// Announces another key in place of the one of before.
    fn renew(
        &mut self,
        daemon: &ServiceDaemon,
        fingerprint: &Fingerprint,
    ) -> Result<(), mdns_sd::Error> {
        let before: Vec<String> =
            self.services(fingerprint)?.iter().map(|it| it.get_fullname().to_owned()).collect();
        self.name = named(self.own_name.as_deref(), fingerprint);
        let services = self.services(fingerprint)?;
        // The name of a gateway without one is of its key, so the earlier name goes.
        for gone in
            before.iter().filter(|gone| services.iter().all(|it| it.get_fullname() != *gone))
        {
            daemon.unregister(gone)?;
        }
        for service in services {
            daemon.register(service)?;
        }
        Ok(())
    }
}

fn service(
    name: &str,
    number: u32,
    at: SocketAddr,
    told: &Announcement,
) -> Result<ServiceInfo, mdns_sd::Error> {
    // The first listener has the plain name. Each has a host of its own, because the addresses of a
    // host are those of all of its services; and none is the machine's, which another responder
    // answers for.
    let (name, suffix) = match number {
        1 => (name.to_owned(), String::new()),
        _ => (format!("{name} {number}"), format!("-{number}")),
    };
    let host = told.fingerprint.to_string().to_ascii_lowercase();
    let host = format!("handfast-{}{suffix}.local.", host.get(..9).unwrap_or_default());
    let properties = told.entries().map(|(key, value)| (key, value.as_str().to_owned()));
    let (service, ip) = (format!("{SERVICE}."), at.ip().to_canonical());
    let info = |addresses: &[std::net::IpAddr]| {
        ServiceInfo::new(&service, &name, &host, addresses, at.port(), &properties[..])
    };
    if !ip.is_unspecified() {
        return info(&[ip]);
    }
    let mut info = info(&[])?.enable_addr_auto();
    if ip.is_ipv4() {
        info.set_interfaces(vec![IfKind::IPv4]);
    }
    Ok(info)
}

/// Returns the name of a gateway's services: its own, or else one of its key.
fn named(own: Option<&str>, fingerprint: &Fingerprint) -> String {
    let unnamed = || {
        let text = fingerprint.to_string();
        format!("Handfast {}", text.get(..9).unwrap_or_default())
    };
    fitted(&own.map_or_else(unnamed, str::to_owned))
}

/// Returns as much of a name as a service can have.
fn fitted(name: &str) -> String {
    let end = name.floor_char_boundary(NAME_BYTES);
    name.get(..end).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::crypto::x25519::PublicKey;

    fn fingerprint() -> Fingerprint {
        Fingerprint::of(&PublicKey::parse(&[9; 32]).unwrap())
    }

    #[test]
    fn a_gateway_on_loopback_announces_nothing() {
        let near = ["127.0.0.1:1", "[::1]:2", "[::ffff:127.0.0.1]:3"]
            .map(|at| (AddressScheme::WebSocket, at.parse().unwrap()));
        assert!(Announcer::start(None, fingerprint(), &near).unwrap().is_none());
    }

    #[test]
    fn a_service_names_port_key_and_transport_and_has_only_the_addresses_of_its_listener() {
        let told = Announcement { fingerprint: fingerprint(), scheme: AddressScheme::Stream };
        let one = service("Hall v1.2", 2, "192.0.2.7:7331".parse().unwrap(), &told).unwrap();
        assert_eq!((one.get_port(), one.is_addr_auto()), (7331, false));
        assert!(one.get_addresses().iter().eq([&"192.0.2.7".parse::<std::net::IpAddr>().unwrap()]));
        assert_eq!(one.get_property_val_str("fp"), Some(&*fingerprint().to_string()));
        assert_eq!(one.get_property_val_str("s"), Some("tcp"));
        assert_eq!(one.get_property_val_str("v"), Some("1"));
        let all = service("Hall", 1, "0.0.0.0:8765".parse().unwrap(), &told).unwrap();
        assert!(all.is_addr_auto() && all.get_addresses().is_empty());
        assert_ne!(all.get_hostname(), one.get_hostname());
    }

    #[test]
    fn another_key_keeps_the_name_of_a_gateway_that_has_one_and_changes_that_of_the_other() {
        let other = Fingerprint::of(&PublicKey::parse(&[10; 32]).unwrap());
        let at = [(AddressScheme::Stream, "192.0.2.7:7331".parse().unwrap())];
        for own_name in [Some("Hall".to_owned()), None] {
            let name = named(own_name.as_deref(), &fingerprint());
            let before = Announced { own_name, name, listeners: at.to_vec() };
            let name = named(before.own_name.as_deref(), &other);
            let after = Announced { name, ..before.clone() };
            let [one, two] = [(&before, fingerprint()), (&after, other)]
                .map(|(announced, key)| announced.services(&key).unwrap().remove(0));
            assert_eq!(one.get_fullname() == two.get_fullname(), before.own_name.is_some());
            assert_ne!(one.get_property_val_str("fp"), two.get_property_val_str("fp"));
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        assert_eq!(fitted(&"a".repeat(64)).len(), NAME_BYTES);
        assert_eq!(fitted(&"é".repeat(64)).len(), NAME_BYTES);
        assert!(fitted(&"門".repeat(64)).len() <= NAME_BYTES);
        assert_eq!(fitted("Hall "), "Hall");
    }
}
