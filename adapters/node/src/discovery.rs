//! Gateways on the local network, found by multicast DNS (RFC 6762).
//!
//! Each search asks on every interface from a port of its own, and reads only what is sent to that
//! port, with the number of its question: what others flood the network with never arrives here.
//! What does arrive is bounded by core ([`FoundGateways`]).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::found::FoundGateways;
use handfast_core::wire::announcement::{Announcement, SERVICE};
use if_addrs::{IfAddr, Interface, get_if_addrs};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Longest time of a search.
pub const SEARCH_WITHIN: Duration = Duration::from_secs(3);

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The question is asked this often, because a datagram may be lost.
const QUESTIONS: u8 = 2;
const AGAIN_AFTER: Duration = Duration::from_millis(700);
/// Further addresses of a sought gateway are waited for this long.
const SETTLES_IN: Duration = Duration::from_millis(300);
/// Maximum number of interface addresses that are asked on.
const SOCKETS: usize = 16;
/// Longest answer that is read (RFC 6762, section 17).
const LONGEST: usize = 9000;
/// Maximum number of answers of one sender that are read in a search.
const ANSWERS_OF_SENDER: u16 = 64;
/// Maximum number of senders whose answers are read in a search.
const SENDERS: usize = 256;
/// Answers that wait to be read; the system drops what comes meanwhile.
const WAITING: usize = 32;
/// Maximum number of records of one answer.
const RECORDS: u16 = 64;
/// Maximum number of services of one answer.
const SERVICES: usize = 8;

/// Looks for gateways for at most `within`. With `sought`, the search ends soon after that gateway
/// was found.
///
/// # Errors
/// The system's, if it does not tell its interfaces.
pub async fn search(within: Duration, sought: Option<&Fingerprint>) -> io::Result<FoundGateways> {
    let number = {
        let mut number = [0; 2];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        u16::from_be_bytes(number)
    };
    let Some(question) = question(number) else { return Ok(FoundGateways::new()) };
    let question: Arc<[u8]> = question.into();
    let (answers_in, mut answers) = mpsc::channel(WAITING);
    // The tasks end with the search.
    let mut asking = JoinSet::new();
    for (from, to) in get_if_addrs()?.iter().filter_map(way).take(SOCKETS) {
        asking.spawn(ask(from, to, question.clone(), answers_in.clone()));
    }
    // Without an interface there is nothing to wait for.
    drop(answers_in);
    let mut found = FoundGateways::new();
    let mut until = Instant::now() + within;
    let mut senders: HashMap<IpAddr, u16> = HashMap::new();
    while let Ok(Some((answer, sender))) = timeout_at(until, answers.recv()).await {
        // Who floods is not read any more, and uses up nobody else's part.
        if senders.len() >= SENDERS && !senders.contains_key(&sender) {
            continue;
        }
        let answered = senders.entry(sender).or_default();
        *answered = answered.saturating_add(1);
        if *answered > ANSWERS_OF_SENDER {
            continue;
        }
        let before = sought.is_some_and(|sought| found.with(sought).is_some());
        read(&answer, number, sender, &mut found);
        if !before && sought.is_some_and(|sought| found.with(sought).is_some()) {
            until = until.min(Instant::now() + SETTLES_IN);
        }
    }
    Ok(found)
}

/// Returns the local address and the group to ask on an interface, if it leads to other machines.
fn way(interface: &Interface) -> Option<(SocketAddr, SocketAddr)> {
    if interface.is_loopback() {
        return None;
    }
    match &interface.addr {
        IfAddr::V4(own) => Some(((own.ip, 0).into(), (GROUP_V4, PORT).into())),
        // One question for each link is enough.
        IfAddr::V6(own) if own.ip.is_unicast_link_local() => {
            let scope = interface.index?;
            let at = |ip, port| SocketAddr::from(SocketAddrV6::new(ip, port, 0, scope));
            Some((at(own.ip, 0), at(GROUP_V6, PORT)))
        }
        IfAddr::V6(_) => None,
    }
}

fn question(number: u16) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(number);
    let name = Name::new(SERVICE).ok()?;
    let (ptr, internet) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(name, ptr, internet, false));
    packet.build_bytes_vec().ok()
}

/// Asks from one address, and passes on what is answered there.
async fn ask(
    from: SocketAddr,
    to: SocketAddr,
    question: Arc<[u8]>,
    answers: mpsc::Sender<(Vec<u8>, IpAddr)>,
) {
    // A socket that is bound to an interface's address sends to the group over that interface.
    let Ok(socket) = UdpSocket::bind(from).await else { return };
    let mut times = tokio::time::interval(AGAIN_AFTER);
    let mut left = QUESTIONS;
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            _ = times.tick(), if left > 0 => {
                left -= 1;
                if let Err(why) = socket.send_to(&question, to).await {
                    tracing::debug!(%from, "no gateway can be looked for there: {why}");
                    return;
                }
            }
            received = socket.recv_from(&mut buffer) => {
                // Another machine may answer that nothing listens there.
                let Ok((length, sender)) = received else { continue };
                let Some(answer) = buffer.get(..length) else { continue };
                if answers.send((answer.to_vec(), sender.ip().to_canonical())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads the gateways out of an answer to the question of this number.
fn read(answer: &[u8], number: u16, sender: IpAddr, found: &mut FoundGateways) {
    // The library makes room by the counts of a stranger, so these are read first.
    let Some(counts) = answer.get(4..12) else { return };
    let most = counts.chunks_exact(2).map(|count| match count {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => u16::MAX,
    });
    if most.into_iter().any(|count| count > RECORDS) {
        return;
    }
    let Ok(packet) = Packet::parse(answer) else { return };
    if packet.id() != number || !packet.has_flags(PacketFlag::RESPONSE) {
        return;
    }
    let Ok(service) = Name::new(SERVICE) else { return };
    let records: Vec<&ResourceRecord<'_>> =
        packet.answers.iter().chain(&packet.additional_records).collect();
    let instances = records.iter().filter(|record| record.name == service).filter_map(|record| {
        if let RData::PTR(instance) = &record.rdata { Some(&instance.0) } else { None }
    });
    for instance in instances.take(SERVICES) {
        service_at(instance, &records, sender, found);
    }
}

/// Takes one service of an answer that names its port, its key and its addresses.
fn service_at(
    instance: &Name<'_>,
    records: &[&ResourceRecord<'_>],
    sender: IpAddr,
    found: &mut FoundGateways,
) {
    let of_instance = || records.iter().filter(|record| record.name == *instance);
    let host = of_instance()
        .find_map(|record| if let RData::SRV(host) = &record.rdata { Some(host) } else { None });
    let told = of_instance().find_map(|record| {
        if let RData::TXT(text) = &record.rdata {
            Announcement::read(text.iter_raw())
        } else {
            None
        }
    });
    let (Some(host), Some(told)) = (host, told) else { return };
    let label = instance.get_labels().first().map(AsRef::as_ref).unwrap_or_default();
    let name = String::from_utf8_lossy(label);
    for record in records.iter().filter(|record| record.name == host.target) {
        let ip = if let RData::A(v4) = &record.rdata {
            IpAddr::V4(Ipv4Addr::from_bits(v4.address))
        } else if let RData::AAAA(v6) = &record.rdata {
            IpAddr::V6(Ipv6Addr::from_bits(v6.address))
        } else {
            continue;
        };
        found.add(&told, &name, (ip, host.port).into(), sender);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: u16 = 0x1234;
    const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const FINGERPRINT: &str = "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO";

    fn name(labels: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in labels {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        let head = [&kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 10], &length.to_be_bytes()].concat();
        [owner, &head, data].concat()
    }

    /// Returns the answer of a gateway, written by hand.
    fn answer() -> Vec<u8> {
        let service = name(&["_handfast", "_tcp", "local"]);
        let instance = name(&["Hall v1.2", "_handfast", "_tcp", "local"]);
        let host = name(&["hall", "local"]);
        let entries = ["v=1", &format!("fp={FINGERPRINT}"), "s=ws"]
            .map(|entry| [&[u8::try_from(entry.len()).unwrap()], entry.as_bytes()].concat());
        let head = [NUMBER.to_be_bytes(), [0x84, 0], [0, 0], [0, 4], [0, 0], [0, 0]].concat();
        [
            head,
            record(&service, 12, &instance),
            record(&instance, 33, &[&[0, 0, 0, 0][..], &8765u16.to_be_bytes(), &host].concat()),
            record(&instance, 16, &entries.concat()),
            record(&host, 1, &[192, 0, 2, 1]),
        ]
        .concat()
    }

    fn found_in(answer: &[u8], number: u16) -> FoundGateways {
        let mut found = FoundGateways::new();
        read(answer, number, SENDER, &mut found);
        found
    }

    #[test]
    fn a_gateways_answer_is_read_and_that_to_another_question_is_not() {
        let found = found_in(&answer(), NUMBER);
        let [gateway] = found.all() else { panic!("{found:?}") };
        assert_eq!(gateway.fingerprint().to_string(), FINGERPRINT);
        assert_eq!(gateway.name().as_str(), "Hall v1.2");
        let addresses: Vec<_> = gateway.addresses().map(|found| found.at.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1:8765"]);
        assert!(found_in(&answer(), NUMBER + 1).all().is_empty());
    }

    #[test]
    fn no_part_of_an_answer_and_no_change_of_one_does_harm() {
        let whole = answer();
        for end in 0..whole.len() {
            assert!(found_in(&whole[..end], NUMBER).all().is_empty(), "{end}");
        }
        for at in 0..whole.len() {
            for value in [0, 0x0c, 0x3f, 0xc0, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                assert!(found_in(&changed, NUMBER).all().len() <= 1);
            }
        }
        // A name that points to itself, and counts that nothing follows.
        let head = [NUMBER.to_be_bytes(), [0x84, 0], [0, 0], [0, 1], [0, 0], [0, 0]].concat();
        let itself = [0xc0, 12];
        let pointing = [&head[..], &record(&itself, 12, &itself)].concat();
        assert!(found_in(&pointing, NUMBER).all().is_empty());
        let counts = [&NUMBER.to_be_bytes()[..], &[0x84, 0], &[0xff; 8]].concat();
        assert!(found_in(&counts, NUMBER).all().is_empty());
    }
}
