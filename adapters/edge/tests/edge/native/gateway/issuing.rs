//! The certificates of the gateway of these tests.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::gateway::IssuedCertificate;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::{CompactBytes, CompactFields, Serial, issue_compact};
use handfast_core::registry::record::Record;
use handfast_core::wire::native::part::Object;
use handfast_core::{Entropy, NodeId, Span, UnixTime};

/// What the gateway issues, and what it has issued.
#[derive(Default)]
pub(crate) struct Issuing {
    /// The life of the certificates; `None` if the gateway issues none.
    pub(crate) life: Option<Span>,
    /// `true` if certificates are made for another node.
    pub(crate) mistakes: bool,
    /// The number of certificates that were issued.
    pub(crate) issued: u64,
    /// The numbers of certificates that their node has stored.
    pub(crate) stored: Vec<u64>,
}

impl Issuing {
    /// Issues a certificate for a node.
    pub(crate) fn issue(
        &mut self,
        record: &Record,
        gateway: &OwnKeys,
        now: UnixTime,
    ) -> Option<CompactBytes> {
        let (life, Holder { channel, signing }) = (self.life?, record.keys?);
        self.issued += 1;
        let fields = CompactFields {
            node_id: if self.mistakes { NodeId::from_bytes([0xee; 16]) } else { record.node_id },
            channel,
            signing: signing?,
            epoch: 0,
            serial: Serial::new(&Entropy::from_recorded([self.issued as u8; 20])),
            not_before: now,
            not_after: now.after(life),
        };
        issue_compact(&fields, &gateway.signing)
    }

    /// Returns the certificate that was issued last, as it is sent.
    pub(crate) fn lend<'b>(&self, bytes: &'b CompactBytes) -> IssuedCertificate<'b> {
        IssuedCertificate { number: self.issued, object: Object::CompactCertificate, bytes }
    }
}
