//! A token or a certificate that arrives in parts over several steps.

use handfast_core::limits::{CERTIFICATES_BYTES, CHAIN_BYTES};
use handfast_core::wire::native::part::{Assembled, Assembly, Object, Part};

/// The objects that are being received. One is complete before the next begins.
pub(super) struct IncomingObjects {
    assembly: Assembly,
    buffer: Box<[u8; CERTIFICATES_BYTES]>,
    /// A token that came in parts.
    chain: Option<Vec<u8>>,
    /// A certificate with its issuers, which came in parts.
    certificates: Option<Vec<u8>>,
    /// The token that belongs to the next stored memory.
    next: Option<Vec<u8>>,
}

const _: () = assert!(CHAIN_BYTES <= CERTIFICATES_BYTES, "one buffer is enough for either");

impl IncomingObjects {
    pub(super) fn new() -> Self {
        Self {
            assembly: Assembly::IDLE,
            buffer: Box::new([0; CERTIFICATES_BYTES]),
            chain: None,
            certificates: None,
            next: None,
        }
    }

    /// Drops the parts of an earlier connection, which are never continued on a new one.
    pub(super) fn start_over(&mut self) {
        self.assembly = Assembly::IDLE;
        (self.chain, self.certificates) = (None, None);
    }

    pub(super) fn part(&mut self, part: &Part<'_>) {
        let kept = match part.object() {
            Object::Chain => &mut self.chain,
            Object::Certificates => &mut self.certificates,
            // A node on Linux asks for none of these.
            Object::Profile | Object::CompactCertificate => return,
        };
        let assembly = std::mem::take(&mut self.assembly);
        match assembly.take(part, &mut self.buffer[..]) {
            Ok(Assembled::More(assembly)) => self.assembly = assembly,
            Ok(Assembled::Whole { bytes, .. }) => *kept = Some(bytes.to_vec()),
            Err(why) => tracing::warn!(
                ?why,
                "a part of a token or certificate came out of place; what came of it is dropped"
            ),
        }
    }

    /// Receives the token of the memory that is stored next. A short one is in the message itself;
    /// a long one (`None`) came in parts before it.
    pub(super) fn complete_chain(&mut self, bytes: Option<&[u8]>) {
        self.next = bytes.map(<[u8]>::to_vec).or_else(|| self.chain.take());
    }

    /// Takes the token that is stored with the present memory, if there is a new one.
    pub(super) fn take_chain(&mut self) -> Option<Vec<u8>> {
        self.next.take()
    }

    /// Takes the certificate that came in parts.
    pub(super) fn take_certificates(&mut self) -> Option<Vec<u8>> {
        self.certificates.take()
    }
}
