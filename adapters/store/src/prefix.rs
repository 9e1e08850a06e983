//! Search for ids by a prefix of their text.

use std::ops::RangeInclusive;

use handfast_core::{NODE_ID_TEXT, NodeId};

/// Returns the ids whose text begins with `prefix`, as one range; `None` if no id does.
pub(crate) fn range(prefix: &str) -> Option<RangeInclusive<NodeId>> {
    // The missing part of the text is filled with the lowest and with the highest digits; parsing
    // the result checks the rest of `prefix`.
    let fill = |with: NodeId| {
        let rest = with.text().as_str().get(prefix.len()..)?.to_owned();
        NodeId::parse(&format!("{prefix}{rest}"))
    };
    // A longer text begins no id.
    (prefix.len() <= NODE_ID_TEXT).then_some(())?;
    Some(fill(NodeId::from_bytes([0; 16]))?..=fill(NodeId::from_bytes([0xff; 16]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";

    #[test]
    fn every_beginning_of_an_id_includes_it() {
        let id = NodeId::parse(ID).unwrap();
        for length in 0..=ID.len() {
            assert!(range(&ID[..length]).unwrap().contains(&id), "{length}");
        }
        assert_eq!(range(ID).unwrap(), id..=id);
    }

    #[test]
    fn an_odd_digit_splits_a_byte() {
        let ids = range("c").unwrap();
        assert_eq!(ids.start().as_bytes()[0], 0xc0);
        assert_eq!(ids.end().as_bytes()[0], 0xcf);
    }

    #[test]
    fn what_begins_no_id_has_no_range() {
        for bad in [
            "CAA",
            "g",
            "-",
            "caa4270d9",
            "caa4270d-912f-4099-ac2d-45e9d0253e3e0",
            "caa4270d--",
            "%",
            "ä",
            "\0",
        ] {
            assert!(range(bad).is_none(), "{bad:?}");
        }
    }
}
