//! A reference implementation of the headers of proxies, and properties that hold for anything that
//! a client writes ahead of its proxy.

use std::net::IpAddr;

use handfast_core::limits::FORWARDED_ENTRIES;
use handfast_core::wire::forwarded::{ForwardedHeader, source};

/// A listed proxy from which the connection comes.
const PEER: &str = "10.0.0.5";
/// The client of the proxy.
const CLIENT: &str = "203.0.113.7";

fn is_listed(ip: IpAddr) -> bool {
    let ip = ip.to_string();
    ip == PEER || ip == "10.0.0.6"
}

fn chosen(header: ForwardedHeader, lines: &[&[u8]]) -> String {
    source(PEER.parse().expect("an address"), header, lines.iter().copied(), is_listed).to_string()
}

/// Evaluates `X-Forwarded-For` after its definition and without regard to cost: one list, from its
/// end.
fn reference(lines: &[&[u8]]) -> String {
    let all = lines.join(&b","[..]);
    let entries: Vec<&[u8]> =
        if lines.is_empty() { Vec::new() } else { all.split(|byte| *byte == b',').collect() };
    for entry in entries.iter().rev().take(FORWARDED_ENTRIES) {
        let text = String::from_utf8_lossy(entry);
        // ASCII white space only: no other is trimmed.
        let text = text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
        let ip = match (text.parse::<IpAddr>(), text.parse::<std::net::SocketAddr>()) {
            (Ok(ip), _) => Some(ip),
            (_, Ok(address)) => Some(address.ip()),
            _ => text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|ip| Some(IpAddr::V6(ip.parse().ok()?))),
        };
        match ip.map(|ip| ip.to_canonical()) {
            None => break,
            Some(ip) if is_listed(ip) => {}
            Some(ip) => return ip.to_string(),
        }
    }
    PEER.to_owned()
}

/// Checks lines of arbitrary bytes, each a header of its own.
///
/// # Panics
/// If one of the properties does not hold.
pub fn any_lines(data: &[u8]) {
    let lines: Vec<&[u8]> = if data.is_empty() {
        Vec::new()
    } else {
        data.split(|byte| *byte == b'\n').take(64).collect()
    };
    let (x, forwarded) = (ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded);
    assert_eq!(chosen(x, &lines), reference(&lines), "{lines:?}");
    let any = chosen(forwarded, &lines);
    assert!(any == PEER || !is_listed(any.parse().expect("an address")), "{any}");

    // A client's lines ahead of the one that its proxy writes do not change the client's address.
    for (header, own) in [(x, CLIENT.to_owned()), (forwarded, format!("for={CLIENT};proto=https"))]
    {
        let more: Vec<&[u8]> = lines.iter().copied().chain([own.as_bytes()]).collect();
        assert_eq!(chosen(header, &more), CLIENT, "{lines:?}");
    }
    // Nor does the beginning of the line that its proxy completes: at worst the request counts for
    // the proxy.
    let last = lines.last().copied().unwrap_or_default();
    let completed = |own: &str| [last, b", ", own.as_bytes()].concat();
    assert_eq!(chosen(x, &[&completed(CLIENT)]), CLIENT, "{last:?}");
    for own in [
        format!("for={CLIENT}"),
        format!("for=\"{CLIENT}:4711\";by=_gateway"),
        format!("proto=http;for={CLIENT}"),
    ] {
        let source = chosen(forwarded, &[&completed(&own)]);
        assert!(source == CLIENT || source == PEER, "{last:?} before {own} counts for {source}");
    }
    // A host that the client names, and that its proxy repeats in quotes, is no entry.
    let named: Vec<u8> = last
        .iter()
        .flat_map(
            |byte| if matches!(byte, b'"' | b'\\') { vec![b'\\', *byte] } else { vec![*byte] },
        )
        .collect();
    let quoted = [format!("for={CLIENT};host=\"").as_bytes(), &named, b"\";proto=https"].concat();
    assert_eq!(chosen(forwarded, &[&quoted]), CLIENT, "{last:?}");
}
