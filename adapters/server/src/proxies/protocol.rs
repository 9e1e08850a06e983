//! Version 2 of the PROXY protocol: the header that a proxy sends before a connection's bytes to
//! report the client's address.

use std::io;
use std::net::SocketAddr;

use handfast_core::limits::PROXY_HEADER_BYTES;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Length in bytes of the part before the addresses: signature, version and command, family, and
/// the length of the rest.
const BEGINNING: usize = 16;

/// Reads the header and not a byte more. Returns `None` if the proxy connects for itself, as for a
/// health check, or for a client without an address.
///
/// # Errors
/// An error of the connection, or [`io::ErrorKind::InvalidData`] for anything that is not such a
/// header.
pub(crate) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    // Only the header is read, because what follows belongs to the connection.
    let mut bytes = vec![0; BEGINNING];
    stream.read_exact(&mut bytes).await?;
    let rest = match (bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"), bytes.get(BEGINNING - 2..)) {
        (true, Some([high, low])) => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(invalid("it begins with no PROXY header of version 2")),
    };
    if rest > PROXY_HEADER_BYTES {
        return Err(invalid("its PROXY header is too long"));
    }
    bytes.resize(BEGINNING + rest, 0);
    stream.read_exact(bytes.get_mut(BEGINNING..).unwrap_or_default()).await?;
    let config = ParseConfig { include_tlvs: false, allow_v1: false, ..ParseConfig::default() };
    let (header, _) =
        ProxyHeader::parse(&bytes, config).map_err(|_| invalid("its PROXY header is malformed"))?;
    Ok(header.proxied_address().map(|address| address.source))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    async fn read(bytes: &[u8]) -> Result<Option<String>, io::ErrorKind> {
        let read = read_header(&mut &*bytes).await;
        read.map(|address| address.map(|address| address.to_string())).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn the_address_of_whoever_is_proxied_is_read_and_nothing_behind_the_header() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 5, 0x12, 0x34, 0, 80, 4, 0, 1, 0];
        let mut bytes = header(0x21, 0x11, &v4);
        bytes.extend(b"GET /");
        let mut stream = &bytes[..];
        assert_eq!(
            read_header(&mut stream).await.unwrap(),
            Some("203.0.113.7:4660".parse().unwrap())
        );
        assert_eq!(stream, b"GET /");

        let mut v6 = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
        v6.extend([0; 16 + 4]);
        assert_eq!(read(&header(0x21, 0x21, &v6)).await, Ok(Some("[2001:db8::7]:0".to_owned())));
    }

    #[tokio::test]
    async fn a_proxy_that_connects_for_itself_names_nobody() {
        assert_eq!(read(&header(0x20, 0, &[])).await, Ok(None));
        assert_eq!(read(&header(0x20, 0x11, &[1; 12])).await, Ok(None));
        assert_eq!(read(&header(0x21, 0, &[])).await, Ok(None), "of a kind that has no address");
        assert_eq!(
            read(&header(0x21, 0x31, &[1; 216])).await,
            Ok(None),
            "a socket in the file system"
        );
    }

    #[tokio::test]
    async fn whatever_is_no_header_of_version_2_is_refused() {
        let whole = header(0x21, 0x11, &[1; 12]);
        for wrong in [
            header(0x11, 0x11, &[1; 12]),
            header(0x22, 0x11, &[1; 12]),
            header(0x21, 0x44, &[1; 12]),
            header(0x21, 0x11, &[1; 11]),
            header(0x21, 0x21, &[1; 12]),
            header(0x21, 0x11, &vec![1; PROXY_HEADER_BYTES + 1]),
            b"PROXY TCP4 203.0.113.7 10.0.0.5 1234 80\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(),
            vec![0; 64],
        ] {
            assert_eq!(read(&wrong).await, Err(io::ErrorKind::InvalidData), "{wrong:x?}");
        }
        for short in 0..whole.len() {
            assert_eq!(
                read(&whole[..short]).await,
                Err(io::ErrorKind::UnexpectedEof),
                "{short} bytes of it"
            );
        }
    }
}
