//! Reassembly of objects that arrive in parts. The buffer of a chain exists only from its first part
//! to its last; a profile fits into one part.

use handfast_core::limits::{CHAIN_BYTES, NATIVE_PROFILE_BYTES, PART_BYTES};
use handfast_core::wire::native::part::{Assembled, Assembly, NotAssembled, Object, Part};

const _: () = assert!(NATIVE_PROFILE_BYTES <= PART_BYTES, "a profile is one part");

/// What a part completes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Nothing yet, or a chain that waits to be presented.
    Nothing,
    /// The node's profile.
    Profile(Vec<u8>),
}

/// State of the reassembly.
#[derive(Debug, Default)]
pub(super) enum Parts {
    #[default]
    Nothing,
    Coming(Box<Coming>),
    Whole(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Coming {
    assembly: Assembly,
    buffer: [u8; CHAIN_BYTES],
}

impl Parts {
    /// Takes the next part. A profile disturbs no chain that is coming. No node sends certificates,
    /// so parts of these are dropped.
    ///
    /// # Errors
    /// [`NotAssembled`] if the part does not continue its object.
    pub(super) fn take(&mut self, part: &Part<'_>) -> Result<Arrived, NotAssembled> {
        match part.object() {
            Object::Chain => {}
            Object::Profile => {
                let mut buffer = [0; NATIVE_PROFILE_BYTES];
                return match Assembly::IDLE.take(part, &mut buffer)? {
                    Assembled::Whole { bytes, .. } => Ok(Arrived::Profile(bytes.to_vec())),
                    // A profile is one part, so none may follow.
                    Assembled::More(_) => Err(NotAssembled::TooLong),
                };
            }
            Object::Certificates | Object::CompactCertificate => return Ok(Arrived::Nothing),
        }
        let mut coming = match std::mem::take(self) {
            Self::Coming(coming) => coming,
            // A new chain replaces one that was never presented.
            Self::Nothing | Self::Whole(_) => {
                Box::new(Coming { assembly: Assembly::IDLE, buffer: [0; CHAIN_BYTES] })
            }
        };
        *self = match coming.assembly.take(part, &mut coming.buffer)? {
            Assembled::Whole { bytes, .. } => Self::Whole(bytes.to_vec()),
            Assembled::More(assembly) => {
                coming.assembly = assembly;
                Self::Coming(coming)
            }
        };
        Ok(Arrived::Nothing)
    }

    /// Takes the chain, if it is complete. An incomplete one is discarded.
    pub(super) fn chain(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(self) {
            Self::Whole(chain) => Some(chain),
            Self::Nothing | Self::Coming(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_in_parts_is_whole_after_the_last_and_taken_once() {
        let chain = vec![7; CHAIN_BYTES];
        let mut parts = Parts::default();
        for part in Part::cut(Object::Chain, &chain).unwrap() {
            assert!(!matches!(parts, Parts::Whole(_)));
            parts.take(&part).unwrap();
        }
        assert_eq!(parts.chain(), Some(chain));
        assert_eq!(parts.chain(), None);
    }

    #[test]
    fn a_part_out_of_order_is_refused_and_a_profile_disturbs_no_chain() {
        let mut parts = Parts::default();
        let chain = [7; CHAIN_BYTES];
        let last = Part::cut(Object::Chain, &chain).unwrap().last().unwrap();
        assert_eq!(parts.take(&last), Err(NotAssembled::Gap));
        let mut all = Part::cut(Object::Chain, &chain).unwrap();
        parts.take(&all.next().unwrap()).unwrap();
        let profile = Part::cut(Object::Profile, b"{}").unwrap().next().unwrap();
        assert_eq!(parts.take(&profile), Ok(Arrived::Profile(b"{}".to_vec())));
        all.for_each(|part| assert_eq!(parts.take(&part), Ok(Arrived::Nothing)));
        assert_eq!(parts.chain(), Some(chain.to_vec()));
    }
}
