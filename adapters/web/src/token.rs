//! The capability token of a node: as it comes, as it is stored, and when it is renewed.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::capability::{Chain, Holder};
use handfast_core::limits::CHAIN_BYTES;
use handfast_core::link::renewal::RenewalPlan;
use handfast_core::registry::grants::GrantId;
use handfast_core::wire::json_write::ObjectWriter;
use handfast_core::wire::native::part::{Assembled, Assembly, Object, Part};

use crate::reply::number;

type Bytes = heapless::Vec<u8, CHAIN_BYTES>;

/// The tokens of a node: the one that is stored, and the one that is coming.
pub(crate) struct Tokens {
    bytes: Bytes,
    /// The grant with which the stored token came.
    grant: GrantId,
    renewal: Option<RenewalPlan>,
    assembly: Assembly,
    buffer: [u8; CHAIN_BYTES],
    /// A token that came in parts.
    parts: Option<Bytes>,
    /// The token that belongs to the memory that is stored next.
    next: Option<Bytes>,
}

impl Tokens {
    pub(crate) fn new(grant: GrantId, stored: &[u8]) -> Self {
        let mut tokens = Self {
            // A longer token is none, and is left out.
            bytes: Bytes::from_slice(stored).unwrap_or_default(),
            grant,
            renewal: None,
            assembly: Assembly::IDLE,
            buffer: [0; CHAIN_BYTES],
            parts: None,
            next: None,
        };
        tokens.plan();
        tokens
    }

    /// Drops the parts of an earlier connection, which are never continued on a new one.
    pub(crate) fn start_over(&mut self) {
        self.assembly = Assembly::IDLE;
        (self.parts, self.next) = (None, None);
    }

    pub(crate) fn part(&mut self, part: &Part<'_>) {
        match part.object() {
            Object::Chain => {}
            // This node asks for no certificate, and receives no profile.
            Object::Certificates | Object::Profile | Object::CompactCertificate => return,
        }
        let assembly = core::mem::take(&mut self.assembly);
        match assembly.take(part, &mut self.buffer) {
            Ok(Assembled::More(assembly)) => self.assembly = assembly,
            Ok(Assembled::Whole { bytes, .. }) => self.parts = Bytes::from_slice(bytes).ok(),
            // A token with a part out of place is dropped; the grant counts without it.
            Err(_) => {}
        }
    }

    /// Receives the token of the memory that is stored next. A short one is in the message itself;
    /// a long one (`None`) came in parts before it.
    pub(crate) fn complete(&mut self, bytes: Option<&[u8]>) {
        self.next = match bytes {
            Some(bytes) => Bytes::from_slice(bytes).ok(),
            None => self.parts.take(),
        };
    }

    /// Settles which token belongs to the memory that is to be stored. Returns `false` if the
    /// gateway sent a token that this node cannot use.
    pub(crate) fn settle(&mut self, memory: &NativeMemory, keys: &OwnKeys) -> bool {
        let next = self.next.take();
        let NativeMemory::Paired(paired) = memory else {
            self.clear();
            return true;
        };
        let fine = match next {
            Some(next) if is_own(&next, keys) => {
                (self.bytes, self.grant) = (next, paired.grant);
                true
            }
            // A token of an earlier grant counts no more.
            Some(_) => {
                self.clear();
                false
            }
            None => {
                if self.grant != paired.grant {
                    self.clear();
                }
                true
            }
        };
        self.plan();
        fine
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.renewal = None;
    }

    fn plan(&mut self) {
        self.renewal = Chain::from_bytes(&self.bytes).ok().map(|chain| {
            let terms = chain.leaf().terms();
            RenewalPlan::of_token(terms.not_before, terms.expires)
        });
    }

    pub(crate) fn stored(&self) -> (GrantId, &[u8]) {
        (self.grant, &self.bytes)
    }

    pub(crate) const fn renewal(&self) -> Option<&RenewalPlan> {
        self.renewal.as_ref()
    }

    pub(crate) const fn set_renewal(&mut self, plan: RenewalPlan) {
        self.renewal = Some(plan);
    }

    /// Writes the terms of the stored token, if there is one: its end, and its scopes, one a line.
    pub(crate) fn describe<'o>(&self, object: ObjectWriter<'o>) -> ObjectWriter<'o> {
        let Ok(chain) = Chain::from_bytes(&self.bytes) else { return object };
        let terms = chain.leaf().terms();
        let mut scopes = heapless::String::<{ handfast_core::limits::SCOPES_BYTES + 256 }>::new();
        for scope in terms.scopes.as_slice() {
            for piece in [scope.action.as_str(), ":", scope.pattern.as_str(), "\n"] {
                // What does not fit is left out of the description.
                let _ = scopes.push_str(piece);
            }
        }
        number(object, "expires", terms.expires.as_secs()).text("scopes", &scopes)
    }
}

/// Returns `true` if the token is one, and belongs to these keys.
fn is_own(token: &[u8], keys: &OwnKeys) -> bool {
    Chain::from_bytes(token).is_ok_and(|chain| *chain.leaf().holder() == Holder::of(keys))
}
