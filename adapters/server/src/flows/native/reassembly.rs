//! Reassembly of a chain that arrives in parts. The buffer exists only from the first part to the
//! last.

use handfast_core::limits::CHAIN_BYTES;
use handfast_core::wire::native::part::{Assembled, Assembly, NotAssembled, Object, Part};

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
    /// Takes the next part. Only chains are put together: parts of other objects are dropped, since
    /// nothing here uses them.
    ///
    /// # Errors
    /// [`NotAssembled`] if the part does not continue the chain.
    pub(super) fn take(&mut self, part: &Part<'_>) -> Result<(), NotAssembled> {
        if part.object() != Object::Chain {
            return Ok(());
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
        Ok(())
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
    fn a_part_out_of_order_is_refused_and_a_profile_is_not_kept() {
        let mut parts = Parts::default();
        let chain = [7; CHAIN_BYTES];
        let last = Part::cut(Object::Chain, &chain).unwrap().last().unwrap();
        assert_eq!(parts.take(&last), Err(NotAssembled::Gap));
        let profile = Part::cut(Object::Profile, b"{}").unwrap().next().unwrap();
        assert_eq!(parts.take(&profile), Ok(()));
        assert_eq!(parts.chain(), None);
    }
}
