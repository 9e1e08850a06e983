//! The gateway's addresses for nodes, for the codes that it shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use handfast_cli::config::ServeSettings;
use handfast_core::limits::INVITE_ADDRESSES;
use handfast_core::wire::gateway_address::AddressScheme;
use handfast_server::ca::is_name;
use url::Url;

/// Returns one address for each listener, up to the capacity of an invitation. For a listener on
/// every interface it is the host's address on its network, or loopback if that is unknown. If any
/// address is reachable from other hosts, loopback ones are left out.
pub(super) fn reached(web: SocketAddr, tls: bool, streams: &[SocketAddr]) -> Vec<String> {
    let web = (if tls { "wss" } else { "ws" }, web);
    let all = std::iter::once(web).chain(streams.iter().map(|address| ("tcp", *address)));
    let reached = all.map(|(scheme, address)| {
        let ip = if address.ip().is_unspecified() { outward(address.ip()) } else { address.ip() };
        (scheme, SocketAddr::new(ip, address.port()))
    });
    let reached: Vec<_> = reached.collect();
    let near_only = reached.iter().all(|(_, address)| address.ip().is_loopback());
    let of_use = reached.iter().filter(|(_, address)| near_only || !address.ip().is_loopback());
    of_use.take(INVITE_ADDRESSES).map(|(scheme, address)| format!("{scheme}://{address}")).collect()
}

/// Returns the transport of the main listener.
pub(super) const fn scheme(settings: &ServeSettings) -> AddressScheme {
    match settings.is_tls() {
        true => AddressScheme::WebSocketTls,
        false => AddressScheme::WebSocket,
    }
}

/// Returns where browsers reach a listener. One that is not encrypted and listens on every interface
/// is reached from this machine, unless plain logins are allowed.
pub(super) fn for_browsers(web: SocketAddr, tls: bool, plain: bool) -> String {
    let ip = match web.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if tls || plain => outward(ip),
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, web.port()))
}

/// Returns the host's address towards other hosts. A listener on `::` usually accepts IPv4 as well,
/// which more nodes support, so IPv4 is preferred.
fn outward(unspecified: IpAddr) -> IpAddr {
    let v4 = || towards((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = || towards((Ipv6Addr::UNSPECIFIED, 0).into(), (documentation, 9).into());
    match unspecified {
        IpAddr::V4(_) => v4().unwrap_or(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => v4().or_else(v6).unwrap_or(Ipv6Addr::LOCALHOST.into()),
    }
}

/// Returns the local address from which this host would send. Nothing is sent: connecting a
/// datagram socket only queries the routing table.
fn towards(from: SocketAddr, to: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// Returns the names and IP addresses at which nodes of this network reach listeners here, for
/// their certificate.
pub(super) fn certified(listeners: &[SocketAddr], lan: &[IpAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for listener in listeners {
        let own = [listener.ip()];
        let reached = if listener.ip().is_unspecified() { lan } else { &own };
        names.extend(reached.iter().map(IpAddr::to_string));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the names and addresses in the certificate of the listener for browsers: the configured
/// ones, or those under which it is reached, with the host of the public URL.
pub(super) fn named(web: SocketAddr, lan: &[IpAddr], settings: &ServeSettings) -> Vec<String> {
    if !settings.mtls.names.is_empty() {
        return settings.mtls.names.clone();
    }
    let mut names = certified(&[web], lan);
    let public = settings.setup.public_url.as_deref().and_then(|url| Url::parse(url).ok());
    let host = public.as_ref().and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']));
    names.extend(host.filter(|host| is_name(host)).map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_one_address_is_reached_there_and_one_on_all_never_at_all_zeros() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let named = reached(at("127.0.0.1:8765"), false, &[at("[::1]:7331")]);
        assert_eq!(named, ["ws://127.0.0.1:8765", "tcp://[::1]:7331"]);
        assert_eq!(reached(at("10.0.0.1:443"), true, &[]), ["wss://10.0.0.1:443"]);
        assert_eq!(reached(at("127.0.0.1:1"), false, &[at("10.0.0.1:2")]), ["tcp://10.0.0.1:2"]);
        for every in ["0.0.0.0:1", "[::]:1"] {
            let [found] = &reached(at(every), false, &[])[..] else { panic!("one") };
            assert!(
                handfast_core::wire::gateway_address::GatewayAddress::parse(found).is_some(),
                "{found}"
            );
        }
        assert_eq!(
            reached(at("127.0.0.1:1"), false, &[at("127.0.0.1:2"); 5]).len(),
            INVITE_ADDRESSES
        );
    }

    #[test]
    fn a_certificate_names_this_machine_and_where_each_listener_is_reached() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let lan = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let near = ["127.0.0.1", "::1", "localhost"];
        assert_eq!(certified(&[], &lan), near);
        assert_eq!(certified(&[at("127.0.0.1:1")], &lan), near);
        let one = certified(&[at("10.0.0.1:1"), at("10.0.0.1:2")], &lan);
        assert_eq!(one, ["10.0.0.1", "127.0.0.1", "::1", "localhost"]);
        let all = certified(&[at("0.0.0.0:1")], &lan);
        assert!(all.contains(&"192.0.2.7".to_owned()) && all.contains(&"2001:db8::7".to_owned()));
    }
}
