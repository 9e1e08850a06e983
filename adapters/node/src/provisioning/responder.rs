//! Addresses and names for the phones at the access point, where dnsmasq is not installed.

use std::io::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use edge_dhcp::server::{Server, ServerOptions};
use edge_dhcp::{DhcpOption, Packet};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, PacketFlag, QTYPE, ResourceRecord, TYPE};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const DHCP_PORT: u16 = 67;
/// Phones have no address yet, so all of them are answered at once.
const PHONES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::BROADCAST), 68);
const DNS_PORT: u16 = 53;
/// The last number of the first and the last address that are given.
const RANGE: (u8, u8) = (10, 50);
/// Leases that are held at once.
const LEASES: usize = 41;
/// Seconds for which an address is given.
const LEASE: u32 = 600;
/// Seconds for which a phone may keep a name's address. Afterwards the name is another's again.
const NAME_FOR: u32 = 10;
/// Longest request that is read.
const LONGEST: usize = 1500;

/// Answers DHCP and DNS until it is dropped.
pub(super) struct PhoneResponder {
    tasks: [JoinHandle<()>; 2],
}

impl PhoneResponder {
    /// Returns `true` if the node may use the ports, now.
    pub(super) async fn is_allowed() -> bool {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DHCP_PORT)).await.is_ok()
    }

    /// Starts to answer on this interface, which has this address in a network of 24 bits.
    ///
    /// # Errors
    /// The system's, if one of the two ports cannot be used: they need root or
    /// `CAP_NET_BIND_SERVICE`.
    pub(super) async fn start(interface: &str, address: Ipv4Addr) -> Result<Self, Error> {
        let dhcp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DHCP_PORT)).await?;
        // Phones on other interfaces have servers of their own.
        dhcp.bind_device(Some(interface.as_bytes()))?;
        dhcp.set_broadcast(true)?;
        let dns = UdpSocket::bind((address, DNS_PORT)).await?;
        let tasks =
            [tokio::spawn(answer_dhcp(dhcp, address)), tokio::spawn(answer_dns(dns, address))];
        Ok(Self { tasks })
    }
}

impl Drop for PhoneResponder {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer_dhcp(socket: UdpSocket, address: Ipv4Addr) {
    let mut leases = Leases::new(address);
    let mut request = [0; LONGEST];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut request).await else { return };
        let answer = request.get(..length).and_then(|request| leases.answer(request));
        if let Some(answer) = answer
            && let Err(why) = socket.send_to(&answer, PHONES).await
        {
            tracing::debug!("a phone got no address: {why}");
        }
    }
}

async fn answer_dns(socket: UdpSocket, address: Ipv4Addr) {
    let mut request = [0; LONGEST];
    loop {
        // A phone that went away can make an error of an earlier answer.
        let Ok((length, phone)) = socket.recv_from(&mut request).await else { continue };
        let answer = request.get(..length).and_then(|request| name_answer(request, address));
        if let Some(answer) = answer
            && let Err(why) = socket.send_to(&answer, phone).await
        {
            tracing::debug!("a phone got no answer: {why}");
        }
    }
}

/// The addresses that were given.
struct Leases {
    address: Ipv4Addr,
    server: Server<Box<dyn FnMut() -> u64 + Send>, LEASES>,
}

impl Leases {
    fn new(address: Ipv4Addr) -> Self {
        let started = Instant::now();
        let now: Box<dyn FnMut() -> u64 + Send> = Box::new(move || started.elapsed().as_secs());
        let mut server = Server::new(now, address);
        let [a, b, c, _] = address.octets();
        server.range_start = Ipv4Addr::new(a, b, c, RANGE.0);
        server.range_end = Ipv4Addr::new(a, b, c, RANGE.1);
        Self { address, server }
    }

    /// Answers a request; `None` if it is none, or no address is free.
    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let request = Packet::decode(request).ok()?;
        let (mut gateway, dns) = ([Ipv4Addr::UNSPECIFIED], [self.address]);
        let mut options = ServerOptions::new(self.address, Some(&mut gateway));
        options.dns = &dns;
        options.lease_duration_secs = LEASE;
        let mut buffer = [DhcpOption::Message(""); 8];
        let answer = self.server.handle_request(&mut buffer, &options, &request)?;
        let mut bytes = [0; LONGEST];
        answer.encode(&mut bytes).ok().map(<[u8]>::to_vec)
    }
}

/// Answers every question for an IPv4 address with the node's, and every other with nothing; `None`
/// if it is no question.
fn name_answer(request: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    // One question, and at most what extends the protocol beside it: nothing is read by the counts
    // of a stranger.
    let [_, _, flags, _, 0, 1, 0, 0, 0, 0, 0, 0 | 1] = request.get(..12)? else { return None };
    if flags & 0x80 != 0 {
        return None;
    }
    let request = simple_dns::Packet::parse(request).ok()?;
    let recursion = request.has_flags(PacketFlag::RECURSION_DESIRED);
    let mut answer = request.into_reply();
    answer.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    if recursion {
        answer.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    }
    answer.additional_records.clear();
    let question = answer.questions.first()?;
    if matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) {
        let name = question.qname.clone();
        let data = RData::A(A::from(address));
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, NAME_FOR, data));
    }
    answer.build_bytes_vec_compressed().ok()
}

#[cfg(test)]
mod tests {
    use edge_dhcp::{MessageType, Options};
    use simple_dns::{Name, QCLASS, Question};

    use super::*;
    use crate::provisioning::cable;
    use crate::provisioning::radio::ACCESS_POINT_ADDRESS as NODE;

    #[tokio::test]
    #[ignore = "needs root, iproute2 and udhcpc"]
    async fn a_phone_gets_an_address_and_every_name_over_a_real_interface() {
        let name = "responder::tests::a_phone_gets_an_address_and_every_name_over_a_real_interface";
        let directory = match cable::inside(name) {
            Ok(directory) => directory,
            Err(test) => return cable::passes(test).await,
        };
        let address = format!("{NODE}/24");
        assert_eq!(cable::says("ip", &["address", "add", &address, "dev", "air0"]), "");
        let responder = PhoneResponder::start("air0", NODE).await.unwrap();
        let phone = tokio::task::spawn_blocking(move || cable::gets_address(&directory));
        phone.await.expect("it has an address");
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.send_to(&question(TYPE::A), (NODE, DNS_PORT)).await.unwrap();
        let mut answer = [0; LONGEST];
        let received = tokio::time::timeout(cable::WITHIN, socket.recv(&mut answer));
        let length = received.await.expect("an answer").unwrap();
        let answer = simple_dns::Packet::parse(&answer[..length]).unwrap();
        assert_eq!(answer.answers[0].rdata, RData::A(A::from(NODE)));
        drop(responder);
    }

    fn ask(leases: &mut Leases, mac: u8, options: Options<'_>) -> Option<(MessageType, Ipv4Addr)> {
        let request = Packet::new_request([2, 0, 0, 0, 0, mac], 7, 0, None, false, options);
        let mut bytes = [0; LONGEST];
        let answer = leases.answer(request.encode(&mut bytes).unwrap())?;
        let answer = Packet::decode(&answer).unwrap();
        assert!(answer.reply && answer.xid == 7);
        let kind = answer.options.iter().find_map(|option| match option {
            DhcpOption::MessageType(kind) => Some(kind),
            _ => None,
        });
        Some((kind.unwrap(), answer.yiaddr))
    }

    #[test]
    fn every_phone_is_offered_an_address_of_the_range_and_gets_it() {
        let mut leases = Leases::new(NODE);
        for mac in 0..41 {
            let mut buffer = [DhcpOption::Message(""); 4];
            let (kind, offered) =
                ask(&mut leases, mac, Options::discover(None, &mut buffer)).unwrap();
            assert_eq!(
                (kind, offered.octets()[..3].to_vec()),
                (MessageType::Offer, vec![192, 168, 4])
            );
            assert_eq!(offered.octets()[3], 10 + mac);
            let mut buffer = [DhcpOption::Message(""); 4];
            let given = ask(&mut leases, mac, Options::request(offered, &mut buffer));
            assert_eq!(given, Some((MessageType::Ack, offered)));
        }
        let mut buffer = [DhcpOption::Message(""); 4];
        assert_eq!(
            ask(&mut leases, 99, Options::discover(None, &mut buffer)),
            None,
            "none is free"
        );
        let mut buffer = [DhcpOption::Message(""); 4];
        let foreign = Ipv4Addr::new(10, 0, 0, 7);
        let refused = ask(&mut leases, 1, Options::request(foreign, &mut buffer));
        assert_eq!(refused, Some((MessageType::Nak, Ipv4Addr::UNSPECIFIED)));
    }

    fn question(kind: TYPE) -> Vec<u8> {
        let mut packet = simple_dns::Packet::new_query(9);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new("connectivitycheck.gstatic.com").unwrap();
        let question = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
        packet.questions.push(question);
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn every_name_is_the_nodes_and_other_kinds_of_records_are_none() {
        let answer = name_answer(&question(TYPE::A), NODE).unwrap();
        let answer = simple_dns::Packet::parse(&answer).unwrap();
        assert_eq!((answer.id(), answer.answers.len()), (9, 1));
        assert_eq!(answer.answers[0].rdata, RData::A(A::from(NODE)));
        assert_eq!(answer.answers[0].name.to_string(), "connectivitycheck.gstatic.com");
        let answer = name_answer(&question(TYPE::AAAA), NODE).unwrap();
        let answer = simple_dns::Packet::parse(&answer).unwrap();
        assert_eq!((answer.rcode(), answer.answers.len()), (simple_dns::RCODE::NoError, 0));
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let mut crowded = question(TYPE::A);
        crowded[6..8].copy_from_slice(&[0xff, 0xff]);
        let answered = name_answer(&question(TYPE::A), NODE).unwrap();
        for bytes in [&[][..], &[0; 11], &[0xff; 40], &crowded, &question(TYPE::A)[..20], &answered]
        {
            assert_eq!(name_answer(bytes, NODE), None);
        }
        let mut leases = Leases::new(NODE);
        for bytes in [&[][..], &[1; 300], &[0; 240]] {
            assert_eq!(leases.answer(bytes), None);
        }
    }
}
