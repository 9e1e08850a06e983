//! Selection of the gateway's address for companions.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use serde::Serialize;

use super::{ExtraHost, GatewayUrl, UrlRefused};

/// The source of a code's address. In JSON and in texts: `public`, `tunnel`, `gateway` or `lan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UrlSource {
    /// The public URL that the operator configured.
    Public,
    /// The URL of a tunnel that leads to this gateway.
    Tunnel,
    /// The URL of a remote gateway, on whose behalf codes are made.
    Gateway,
    /// An address of this machine on its network.
    Lan,
}

/// Possible addresses of a gateway. Each `Some` was configured, and has to be valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The URL of `--public-url`.
    pub public: Option<String>,
    /// The URL of `--tunnel-url`.
    pub tunnel: Option<String>,
    /// The URL of `--gateway-url`.
    pub gateway: Option<String>,
    /// Addresses of this gateway on its network, best first; see [`lan_candidates`].
    pub lan: Vec<SocketAddr>,
    /// `true` if the gateway uses TLS at these addresses.
    pub tls: bool,
}

/// The reason for which there is no address for a setup code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResolved {
    /// A configured address cannot be used. It is never skipped in favour of the next one, because
    /// the operator meant it.
    #[error("the {source_name} URL (from {setting}) cannot stand in a setup code: {why}", source_name = .0, setting = .0.setting(), why = .1)]
    Refused(UrlSource, UrlRefused),
    /// No address of this machine may be used without TLS.
    #[error(
        "the gateway is reached at {0}, which is not on a local network, and without TLS: start it with --tls-cert and --tls-key, or name \
         an address with --public-url or setup.public_url, as in wss://gateway.example"
    )]
    NotLocal(SocketAddr),
    /// The gateway listens on loopback, and no other address is configured.
    #[error(
        "the gateway is reached from this machine alone: name where companions reach it with --public-url or setup.public_url \
         (a tunnel with --tunnel-url or setup.tunnel_url, a remote gateway with --gateway-url or setup.gateway_url), as in \
         wss://gateway.example, or let it listen on this machine's address in the network with --listen"
    )]
    OnlyLoopback,
}

/// Returns the address for a setup code and its source: the public URL, else the tunnel's, else the
/// remote gateway's, else the first usable address on the local network.
///
/// # Errors
/// [`NotResolved`] with the cause.
pub fn resolve(
    candidates: &Candidates,
    extra: &[ExtraHost],
) -> Result<(GatewayUrl, UrlSource), NotResolved> {
    let set = [
        (&candidates.public, UrlSource::Public),
        (&candidates.tunnel, UrlSource::Tunnel),
        (&candidates.gateway, UrlSource::Gateway),
    ];
    for (text, source) in set {
        if let Some(text) = text {
            let parsed =
                GatewayUrl::parse(text, extra).map_err(|why| NotResolved::Refused(source, why))?;
            return Ok((parsed, source));
        }
    }
    let scheme = if candidates.tls { "wss" } else { "ws" };
    // These addresses are not configured, so an unusable one is skipped.
    let lan = candidates.lan.iter().filter(|address| !address.ip().to_canonical().is_loopback());
    let mut first = None;
    for address in lan {
        // A socket address may have a zone, which is meaningful only on this machine.
        let plain = SocketAddr::new(address.ip(), address.port());
        match GatewayUrl::parse(&format!("{scheme}://{plain}"), extra) {
            Ok(url) => return Ok((url, UrlSource::Lan)),
            Err(_) => first = first.or(Some(plain)),
        }
    }
    Err(first.map_or(NotResolved::OnlyLoopback, NotResolved::NotLocal))
}

/// Returns the addresses at which other machines reach a listener, given the `addresses` of this
/// machine: all of them for an unspecified address (for `::` those of IPv4, too), none for
/// loopback, otherwise the listener's own. Addresses that need a zone are left out.
#[must_use]
pub fn lan_candidates(listener: SocketAddr, addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let ip = listener.ip();
    // A listener on IPv6 also hears IPv4, but not the other way round.
    let heard = |other: &&IpAddr| ip.is_ipv6() || other.is_ipv4();
    let ips = if ip.is_unspecified() {
        addresses.iter().filter(heard).copied().collect()
    } else {
        vec![ip]
    };
    let outside = |ip: &IpAddr| {
        // A link-local address needs a zone, which means nothing on another machine.
        let zoned = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        !(ip.is_unspecified() || ip.to_canonical().is_loopback() || zoned)
    };
    ips.into_iter().filter(outside).map(|ip| SocketAddr::new(ip, listener.port())).collect()
}

/// Returns the addresses of this machine towards other networks, IPv4 first: at most one of each
/// kind, never loopback or unspecified.
#[must_use]
pub fn lan_addresses() -> Vec<IpAddr> {
    // These addresses are for documentation, and connecting a datagram socket sends nothing.
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v4 = towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = towards(Ipv6Addr::UNSPECIFIED.into(), documentation.into());
    v4.into_iter().chain(v6).collect()
}

/// Returns the local address for packets to `to`. Nothing is sent: connecting a datagram socket
/// only queries the routing table.
fn towards(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

impl UrlSource {
    /// Returns the name of the source in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Tunnel => "tunnel",
            Self::Gateway => "gateway",
            Self::Lan => "lan",
        }
    }

    /// Returns the option and the key that set the address.
    const fn setting(self) -> &'static str {
        match self {
            Self::Public => "--public-url or setup.public_url",
            Self::Tunnel => "--tunnel-url or setup.tunnel_url",
            Self::Gateway => "--gateway-url or setup.gateway_url",
            Self::Lan => "--listen",
        }
    }
}

impl fmt::Display for UrlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Candidates {
        Candidates {
            public: Some("wss://public.example".to_owned()),
            tunnel: Some("https://tunnel.example/t".to_owned()),
            gateway: Some("ws://10.0.0.9:8765".to_owned()),
            lan: vec![at("192.168.1.10:8765"), at("[fd00::1]:8765")],
            tls: false,
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn found(candidates: &Candidates) -> (String, UrlSource) {
        resolve(candidates, &[])
            .map(|(url, source)| (url.to_string(), source))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn refused(candidates: &Candidates) -> String {
        resolve(candidates, &[]).unwrap_err().to_string()
    }

    #[test]
    fn the_public_address_comes_first_then_the_tunnel_the_gateway_and_the_network() {
        let mut candidates = all();
        assert_eq!(found(&candidates), ("wss://public.example".to_owned(), UrlSource::Public));
        candidates.public = None;
        assert_eq!(found(&candidates), ("https://tunnel.example/t".to_owned(), UrlSource::Tunnel));
        candidates.tunnel = None;
        assert_eq!(found(&candidates), ("ws://10.0.0.9:8765".to_owned(), UrlSource::Gateway));
        candidates.gateway = None;
        assert_eq!(found(&candidates), ("ws://192.168.1.10:8765".to_owned(), UrlSource::Lan));
        candidates.tls = true;
        assert_eq!(found(&candidates), ("wss://192.168.1.10:8765".to_owned(), UrlSource::Lan));
        candidates.lan.remove(0);
        assert_eq!(found(&candidates), ("wss://[fd00::1]:8765".to_owned(), UrlSource::Lan));
    }

    #[test]
    fn an_address_that_was_set_and_cannot_be_used_is_an_error_that_names_where_it_was_set() {
        type Set = fn(&mut Candidates) -> &mut Option<String>;
        let set: [(Set, &str, &str); 3] = [
            (|candidates| &mut candidates.public, "public", "--public-url or setup.public_url"),
            (|candidates| &mut candidates.tunnel, "tunnel", "--tunnel-url or setup.tunnel_url"),
            (|candidates| &mut candidates.gateway, "gateway", "--gateway-url or setup.gateway_url"),
        ];
        let mut candidates = all();
        for (field, name, setting) in set {
            for (text, why) in [
                ("ws://evil.example", "not encrypted"),
                ("", "empty"),
                ("ws://a@b.local", "before the @"),
            ] {
                *field(&mut candidates) = Some(text.to_owned());
                let told = refused(&candidates);
                assert!(
                    told.contains(&format!("the {name} URL (from {setting})"))
                        && told.contains(why),
                    "{told}"
                );
            }
            // The rest is asked only where this one is not set.
            *field(&mut candidates) = None;
        }
        assert_eq!(found(&candidates).1, UrlSource::Lan);
    }

    #[test]
    fn a_gateway_that_only_this_machine_reaches_is_an_error_that_says_what_to_set() {
        let none = Candidates::default();
        let loopback = Candidates {
            lan: vec![at("127.0.0.1:8765"), at("[::1]:1"), at("[::ffff:127.0.0.1]:1")],
            ..Candidates::default()
        };
        for candidates in [none, loopback] {
            assert_eq!(resolve(&candidates, &[]), Err(NotResolved::OnlyLoopback));
            let told = refused(&candidates);
            for part in [
                "--public-url",
                "setup.public_url",
                "setup.tunnel_url",
                "setup.gateway_url",
                "--listen",
            ] {
                assert!(told.contains(part), "{told}");
            }
        }
    }

    #[test]
    fn of_its_own_addresses_the_first_that_may_be_used_in_the_clear_counts() {
        let mut candidates = Candidates {
            lan: vec![at("203.0.113.7:8765"), at("192.168.1.10:8765")],
            ..Candidates::default()
        };
        assert_eq!(found(&candidates).0, "ws://192.168.1.10:8765");
        candidates.lan.pop();
        assert_eq!(resolve(&candidates, &[]), Err(NotResolved::NotLocal(at("203.0.113.7:8765"))));
        let told = refused(&candidates);
        assert!(
            told.contains("203.0.113.7:8765")
                && told.contains("--tls-cert")
                && told.contains("setup.public_url"),
            "{told}"
        );
        let allowed = resolve(&candidates, &["203.0.113.7".parse().unwrap()]).unwrap();
        assert_eq!((allowed.0.as_str(), allowed.1), ("ws://203.0.113.7:8765", UrlSource::Lan));
        candidates.tls = true;
        assert_eq!(found(&candidates).0, "wss://203.0.113.7:8765");
    }

    #[test]
    fn a_listener_on_every_interface_is_reached_at_the_addresses_of_this_machine() {
        let own: Vec<IpAddr> = ["127.0.0.1", "192.168.1.10", "fe80::1", "fd00::1", "::1"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        assert_eq!(lan_candidates(at("0.0.0.0:8765"), &own), [at("192.168.1.10:8765")]);
        assert_eq!(
            lan_candidates(at("[::]:80"), &own),
            [at("192.168.1.10:80"), at("[fd00::1]:80")]
        );
        assert_eq!(lan_candidates(at("10.0.0.1:1"), &own), [at("10.0.0.1:1")]);
        for nowhere in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "[fe80::1%2]:1"] {
            assert_eq!(lan_candidates(at(nowhere), &own), []);
        }
    }

    #[test]
    fn the_addresses_of_this_machine_are_of_use_to_others() {
        let found = lan_addresses();
        assert!(
            found.len() <= 2 && found.iter().all(|ip| !ip.is_loopback() && !ip.is_unspecified()),
            "{found:?}"
        );
        for ip in found {
            // It is one of this machine's: it can be bound.
            assert!(UdpSocket::bind((ip, 0)).is_ok(), "{ip}");
        }
    }

    #[test]
    fn a_source_is_one_word_in_json_as_on_the_screen() {
        for source in [UrlSource::Public, UrlSource::Tunnel, UrlSource::Gateway, UrlSource::Lan] {
            assert_eq!(serde_json::to_string(&source).unwrap(), format!("\"{source}\""));
        }
        assert_eq!(serde_json::to_value(UrlSource::Lan).unwrap(), "lan");
    }
}
