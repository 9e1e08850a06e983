//! The headers in which reverse proxies name their client, and the choice of the client's address.
//!
//! A header is read from its right end: the entries from the rightmost unlisted address on were
//! written by proxies that the operator listed; a client can forge everything to the left of it. No
//! entry left of the chosen one is read.

use core::net::{IpAddr, SocketAddr};

use heapless::Deque;

use crate::limits::FORWARDED_ENTRIES;

/// The header that is read. The other one is ignored, because a proxy that writes one of them
/// passes the other on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: 203.0.113.7, 10.0.0.4`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=203.0.113.7;proto=https, for="[2001:db8::1]:4711"` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Returns the header's name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// Returns the last entries of one line, at most [`FORWARDED_ENTRIES`]. An entry that is not an
    /// address, or a line that is not a list, becomes `None`.
    fn entries(self, line: &[u8]) -> Entries {
        let mut entries = Entries::new();
        match self {
            Self::XForwardedFor => line
                .split(|byte| *byte == b',')
                .for_each(|entry| remember(&mut entries, address(entry))),
            Self::Forwarded => {
                if elements(line, &mut entries).is_none() {
                    // Entries of a broken list prove nothing, so the line counts as one unusable
                    // entry.
                    entries.clear();
                    remember(&mut entries, None);
                }
            }
        }
        entries
    }
}

type Entries = Deque<Option<IpAddr>, FORWARDED_ENTRIES>;

fn remember(entries: &mut Entries, entry: Option<IpAddr>) {
    if entries.is_full() {
        let _ = entries.pop_front();
    }
    // The oldest entry was removed above, so the push succeeds.
    let _ = entries.push_back(entry);
}

/// Returns the address to which a request is attributed.
///
/// `peer` is the connection's own address, and `lines` are all occurrences of the header, which
/// form one list. If `peer` is not a listed proxy, the result is `peer`. Otherwise it is the
/// rightmost entry that is not a listed proxy. It is `peer` again if that entry is not an address,
/// if there is none, and if more than [`FORWARDED_ENTRIES`] proxies are named.
#[must_use]
pub fn source<'l>(
    peer: IpAddr,
    header: ForwardedHeader,
    lines: impl DoubleEndedIterator<Item = &'l [u8]>,
    is_listed: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    // An IPv4 address that is mapped into IPv6 is compared as what it is.
    let peer = peer.to_canonical();
    if !is_listed(peer) {
        return peer;
    }
    let mut looked_at = 0_usize;
    for line in lines.rev() {
        for entry in header.entries(line).iter().rev() {
            looked_at = looked_at.saturating_add(1);
            match entry {
                // A listed proxy is no client: the next entry to the left is its peer.
                Some(entry) if is_listed(*entry) && looked_at < FORWARDED_ENTRIES => {}
                Some(entry) if !is_listed(*entry) => return *entry,
                Some(_) | None => return peer,
            }
        }
    }
    peer
}

/// Reads an address with an optional port: `203.0.113.7`, `203.0.113.7:80`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text
            .parse()
            .ok()
            .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())),
    };
    ip.map(|ip| ip.to_canonical())
}

/// Reads `for=A;by=B, for=C` strictly, so that a client's quoted text can neither end the list nor
/// begin an entry. Returns `None` if the line is not such a list.
fn elements(line: &[u8], entries: &mut Entries) -> Option<()> {
    let mut rest = line;
    loop {
        let (entry, after) = element(rest)?;
        remember(entries, entry);
        match after {
            Some(after) => rest = after,
            None => return Some(()),
        }
    }
}

/// Reads one element: its `for`, and the rest behind its comma. An element without a `for`, or with
/// two, has no address.
fn element(mut rest: &[u8]) -> Option<(Option<IpAddr>, Option<&[u8]>)> {
    let mut of: Option<Option<IpAddr>> = None;
    loop {
        rest = rest.trim_ascii_start();
        let name_length = rest.iter().take_while(|byte| is_token(**byte)).count();
        let (name, after) = rest.split_at_checked(name_length)?;
        rest = after;
        if !name.is_empty() {
            let (value, after) = value(rest.strip_prefix(b"=")?)?;
            rest = after;
            if name.eq_ignore_ascii_case(b"for") {
                // A second `for` makes the element ambiguous, so it names no address.
                of = Some(if of.is_none() { address(value) } else { None });
            }
        }
        rest = rest.trim_ascii_start();
        match rest.split_first() {
            None => return Some((of.flatten(), None)),
            Some((b';', after)) => rest = after,
            Some((b',', after)) => return Some((of.flatten(), Some(after))),
            Some(_) => return None,
        }
    }
}

/// Reads a token, or a quoted text without its quotes. A text with an escape is never an address,
/// so nothing is unescaped. Ports and brackets are accepted without quotes, because proxies write
/// them so.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let length = text
            .iter()
            .take_while(|byte| is_token(**byte) || matches!(byte, b':' | b'[' | b']'))
            .count();
        return text.split_at_checked(length).filter(|(value, _)| !value.is_empty());
    };
    // An escaped quote does not end the text.
    let mut escaped = false;
    let end = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    let (value, rest) = quoted.split_at_checked(end)?;
    Some((value, rest.get(1..)?))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.5";

    fn of(header: ForwardedHeader, lines: &[&str]) -> std::string::String {
        let listed = |ip: IpAddr| {
            ip.to_canonical() == PROXY.parse::<IpAddr>().unwrap()
                || ip == "10.0.0.6".parse::<IpAddr>().unwrap()
        };
        std::string::ToString::to_string(&source(
            PROXY.parse().unwrap(),
            header,
            lines.iter().map(|line| line.as_bytes()),
            listed,
        ))
    }

    fn x(lines: &[&str]) -> std::string::String {
        of(ForwardedHeader::XForwardedFor, lines)
    }

    fn forwarded(lines: &[&str]) -> std::string::String {
        of(ForwardedHeader::Forwarded, lines)
    }

    #[test]
    fn the_rightmost_entry_that_is_no_listed_proxy_is_the_source() {
        assert_eq!(x(&["203.0.113.7"]), "203.0.113.7");
        assert_eq!(x(&["6.6.6.6, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(x(&["6.6.6.6, 203.0.113.7,10.0.0.6 , 10.0.0.5"]), "203.0.113.7");
        assert_eq!(x(&["::ffff:203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            forwarded(&["for=6.6.6.6, for=203.0.113.7;proto=https;by=10.0.0.5"]),
            "203.0.113.7"
        );
        assert_eq!(forwarded(&["For=\"[2001:db8::1]:4711\", for=10.0.0.6"]), "2001:db8::1");
        assert_eq!(
            forwarded(&["proto=https;FOR=203.0.113.7:80;host=\"a,b;for=6.6.6.6\""]),
            "203.0.113.7"
        );
    }

    #[test]
    fn all_occurrences_of_the_header_are_one_list() {
        assert_eq!(x(&["6.6.6.6", "203.0.113.7"]), "203.0.113.7");
        assert_eq!(x(&["6.6.6.6, 203.0.113.7", "10.0.0.6", "10.0.0.5"]), "203.0.113.7");
        assert_eq!(forwarded(&["for=6.6.6.6", "for=203.0.113.7", "for=10.0.0.6"]), "203.0.113.7");
    }

    #[test]
    fn an_entry_that_is_no_address_or_none_at_all_makes_the_proxy_the_source() {
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["6.6.6.6, unknown"],
            &["6.6.6.6,"],
            &["6.6.6.6", ""],
            &["6.6.6.6, nobody, 10.0.0.6"],
        ] {
            assert_eq!(x(lines), PROXY, "{lines:?}");
        }
        for entry in [
            "1.2.3",
            "010.0.0.1",
            "1.2.3.4:",
            "1.2.3.4:x",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "for=1.2.3.4",
            "\"1.2.3.4\"",
            "1.2.3.4 5.6.7.8",
        ] {
            assert_eq!(x(&["6.6.6.6", entry]), PROXY, "{entry}");
        }
        for line in [
            "",
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=\"\"",
            "for=",
            "for",
            "for=1.2.3.4;for=5.6.7.8",
            "for=6.6.6.6,",
        ] {
            assert_eq!(forwarded(&[line]), PROXY, "{line}");
        }
    }

    #[test]
    fn what_a_client_quotes_begins_no_entry_and_hides_none() {
        // A client began the line, and a proxy has appended its own entry.
        for begun in [
            "for=\"",
            "for=6.6.6.6;x=\"",
            "for=\"6.6.6.6\\",
            "x=\"\\\"",
            "for=6.6.6.6 ",
            "=",
            ";=",
            "\u{e9}",
        ] {
            let line = std::format!("{begun}, for=203.0.113.7");
            let source = forwarded(&[&line]);
            assert!(source == PROXY || source == "203.0.113.7", "{line} counts for {source}");
            assert_eq!(forwarded(&[&line, "for=203.0.113.8"]), "203.0.113.8");
        }
        // A proxy has quoted the value: the host is the one that the client named.
        assert_eq!(forwarded(&["for=203.0.113.7;host=\"a, for=6.6.6.6\""]), "203.0.113.7");
        assert_eq!(forwarded(&["for=203.0.113.7;host=\"a\\\", for=6.6.6.6\""]), "203.0.113.7");
    }

    #[test]
    fn the_other_header_is_no_list_of_this_one() {
        assert_eq!(x(&["for=203.0.113.7"]), PROXY);
        assert_eq!(forwarded(&["203.0.113.7"]), PROXY);
    }

    #[test]
    fn a_peer_that_is_no_listed_proxy_is_believed_nothing() {
        let lines = || [&b"6.6.6.6"[..]].into_iter();
        let peer: IpAddr = "::ffff:192.0.2.9".parse().unwrap();
        let canonical: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(source(peer, ForwardedHeader::XForwardedFor, lines(), |_| false), canonical);
    }

    #[test]
    fn more_proxies_than_are_looked_at_make_the_peer_the_source() {
        let mut line = std::string::String::from("203.0.113.7");
        for _ in 1..FORWARDED_ENTRIES {
            line.push_str(", 10.0.0.6");
        }
        assert_eq!(x(&[&line]), "203.0.113.7");
        line.push_str(", 10.0.0.6");
        assert_eq!(x(&[&line]), PROXY);
        assert_eq!(
            x(&["203.0.113.7", &std::format!("{}10.0.0.6", "10.0.0.6,".repeat(FORWARDED_ENTRIES))]),
            PROXY
        );
    }
}
