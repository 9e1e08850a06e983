//! The HTTP upgrade (RFC 6455, section 4), without I/O: the key, the expected
//! `Sec-WebSocket-Accept` value, and an incremental parser for the response.

use super::sha1;
use crate::error::UpgradeError;

/// Maximum length of a response's head in bytes.
const HEAD_BYTES: usize = 4096;
/// Maximum length of a relevant line in bytes; of longer lines only the name is read.
const LINE_BYTES: usize = 128;
/// The GUID that a server appends to the key (RFC 6455, section 1.3).
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of a request: 16 random bytes in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HandshakeKey([u8; 24]);

impl HandshakeKey {
    /// Encodes fresh random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let mut text = [0; 24];
        base64(&random, &mut text);
        Self(text)
    }

    /// Returns the key's base64 text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the `Sec-WebSocket-Accept` value for this key.
    #[must_use]
    pub fn accept(&self) -> [u8; 28] {
        let mut message = [0; sha1::MESSAGE];
        for (place, byte) in message.iter_mut().zip(self.0.iter().chain(GUID)) {
            *place = *byte;
        }
        let digest = sha1::digest(&message);
        let mut text = [0; 28];
        base64(&digest, &mut text);
        text
    }
}

/// An incremental parser for the response's head.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Response {
    accept: [u8; 28],
    line: [u8; LINE_BYTES],
    /// Length of the line so far; bytes beyond [`LINE_BYTES`] are not stored.
    length: usize,
    total: usize,
    status: bool,
    upgrade: bool,
    connection: bool,
    accepted: bool,
}

impl Response {
    /// Creates a parser for the response to a request with this key.
    #[must_use]
    pub fn to(key: &HandshakeKey) -> Self {
        Self {
            accept: key.accept(),
            line: [0; LINE_BYTES],
            length: 0,
            total: 0,
            status: false,
            upgrade: false,
            connection: false,
            accepted: false,
        }
    }

    /// Consumes one byte. Returns `true` after the last byte of the head: the next byte belongs to
    /// WebSocket.
    ///
    /// # Errors
    /// [`UpgradeError`] when the answer is not a valid upgrade.
    pub fn feed(&mut self, byte: u8) -> Result<bool, UpgradeError> {
        self.total = self.total.saturating_add(1);
        if self.total > HEAD_BYTES {
            return Err(UpgradeError::TooLong);
        }
        if byte != b'\n' {
            if let Some(place) = self.line.get_mut(self.length) {
                *place = byte;
            }
            self.length = self.length.saturating_add(1);
            return Ok(false);
        }
        // An overlong line is cut; it is an error only if the header matters.
        let cut = self.length > LINE_BYTES;
        let line = self.line;
        let line = line.get(..self.length.min(LINE_BYTES)).unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.length = 0;
        match (self.status, line) {
            (false, line) => {
                self.status = true;
                on_status(line)?;
                Ok(false)
            }
            (true, []) => self.end(),
            (true, line) => {
                self.on_header(line, cut)?;
                Ok(false)
            }
        }
    }

    fn on_header(&mut self, line: &[u8], cut: bool) -> Result<(), UpgradeError> {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let name = parts.next().unwrap_or(&[]);
        let value = parts.next().unwrap_or(&[]).trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // Other headers are ignored, so a long one does no harm.
        let matters = is("upgrade") || is("connection") || is("sec-websocket-accept");
        if matters && cut {
            return Err(UpgradeError::TooLong);
        }
        if is("upgrade") {
            self.upgrade = value.eq_ignore_ascii_case(b"websocket");
        } else if is("connection") {
            // The header is a list and may occur several times.
            self.connection |= value
                .split(|&byte| byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
        } else if is("sec-websocket-accept") {
            // Another value is the answer to another request, such as a cached one.
            if value != self.accept {
                return Err(UpgradeError::WrongAccept);
            }
            self.accepted = true;
        // Nothing was offered, so the server must not select anything (RFC 6455, section 4.1).
        } else if is("sec-websocket-extensions") || is("sec-websocket-protocol") {
            return Err(UpgradeError::Unasked);
        }
        Ok(())
    }

    fn end(&self) -> Result<bool, UpgradeError> {
        match (self.upgrade && self.connection, self.accepted) {
            (false, _) => Err(UpgradeError::NotWebSocket),
            (true, false) => Err(UpgradeError::WrongAccept),
            (true, true) => Ok(true),
        }
    }
}

fn on_status(line: &[u8]) -> Result<(), UpgradeError> {
    let [a, b, c, rest @ ..] = line.strip_prefix(b"HTTP/1.1 ").ok_or(UpgradeError::NotHttp)? else {
        return Err(UpgradeError::NotHttp);
    };
    if !matches!(rest.first(), None | Some(b' ')) {
        return Err(UpgradeError::NotHttp);
    }
    let digits = core::str::from_utf8(&[*a, *b, *c]).ok().and_then(|text| text.parse().ok());
    match digits {
        Some(101) => Ok(()),
        Some(status) => Err(UpgradeError::Status(status)),
        None => Err(UpgradeError::NotHttp),
    }
}

/// Base64 with padding (RFC 4648, section 4). It is not constant-time, because the input is not
/// secret.
fn base64(bytes: &[u8], text: &mut [u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (chunk, places) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let mut three = [0u8; 3];
        for (place, byte) in three.iter_mut().zip(chunk) {
            *place = *byte;
        }
        let [a, b, c] = three;
        let word = u32::from_be_bytes([0, a, b, c]);
        // A chunk yields one letter more than it has bytes; the rest is padding.
        let written = [true, true, chunk.len() > 1, chunk.len() > 2];
        for ((place, shift), written) in places.iter_mut().zip([18u32, 12, 6, 0]).zip(written) {
            let letter = usize::try_from(word.wrapping_shr(shift) & 0x3f)
                .ok()
                .and_then(|sextet| ALPHABET.get(sextet));
            *place = match letter {
                Some(letter) if written => *letter,
                _ => b'=',
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// The example of RFC 6455, section 1.3.
    const KEY: [u8; 16] = *b"the sample nonce";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn read(head: &str) -> Result<bool, UpgradeError> {
        let mut response = Response::to(&HandshakeKey::new(KEY));
        for (at, byte) in head.bytes().enumerate() {
            if response.feed(byte)? {
                assert_eq!(at + 1, head.len());
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[test]
    fn the_key_and_its_answer_are_those_of_the_rfc() {
        let key = HandshakeKey::new(KEY);
        assert_eq!(key.as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_good_response_ends_with_its_last_byte() {
        assert_eq!(read(GOOD), Ok(true));
        assert_eq!(
            read(&GOOD.replace("Connection: Upgrade", "connection:keep-alive , upgrade")),
            Ok(true)
        );
        assert_eq!(read(&GOOD[..GOOD.len() - 1]), Ok(false));
    }

    #[test]
    fn long_headers_that_do_not_matter_are_skipped() {
        let cookie: String = core::iter::repeat_n('x', 1000).collect();
        assert_eq!(
            read(&GOOD.replace("Upgrade: w", &format!("Set-Cookie: {cookie}\r\nUpgrade: w"))),
            Ok(true)
        );
        assert_eq!(
            read(&GOOD.replace("Upgrade: w", &format!("Upgrade: {cookie}\r\nUpgrade: w"))),
            Err(UpgradeError::TooLong)
        );
        let endless: String = core::iter::repeat_n('x', 5000).collect();
        assert_eq!(read(&GOOD.replace("Upgrade: w", &endless)), Err(UpgradeError::TooLong));
    }

    #[test]
    fn anything_else_is_refused_for_what_it_is() {
        for (head, error) in [
            (GOOD.replace("101", "404"), UpgradeError::Status(404)),
            (GOOD.replace("1.1", "1.0"), UpgradeError::NotHttp),
            (GOOD.replace("101", "1010"), UpgradeError::NotHttp),
            (String::from("\n"), UpgradeError::NotHttp),
            (GOOD.replace("s3p", "S3p"), UpgradeError::WrongAccept),
            (GOOD.replace("Sec-WebSocket-Accept", "X"), UpgradeError::WrongAccept),
            (GOOD.replace("websocket", "h2c"), UpgradeError::NotWebSocket),
            (GOOD.replace("Connection", "X"), UpgradeError::NotWebSocket),
            (
                GOOD.replace("Upgrade: w", "Sec-WebSocket-Protocol: x\r\nUpgrade: w"),
                UpgradeError::Unasked,
            ),
            (
                GOOD.replace(
                    "Upgrade: w",
                    "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: w",
                ),
                UpgradeError::Unasked,
            ),
        ] {
            assert_eq!(read(&head), Err(error), "{head}");
        }
    }
}
