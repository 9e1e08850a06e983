//! The URI that names a node in its certificate.

use std::str::FromStr;

use handfast_core::NodeId;

/// The place of the node's id in the form.
const ID: &str = "{id}";
/// Maximum length of a form, in bytes.
const MOST_BYTES: usize = 160;

/// The form of the URI that names a node in its certificate: a URI with `{id}` in the place of the
/// node's id, as `handfast://node/{id}` or `spiffe://example.org/node/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUri {
    before: String,
    after: String,
}

/// Error of a text that is no form of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be a URI of at most 160 characters with {{id}} once, in the place of the node's id, \
     as handfast://node/{{id}} or spiffe://example.org/node/{{id}}"
)]
pub struct NotANodeUri;

impl NodeUri {
    /// Returns the URI of a node.
    #[must_use]
    pub fn of(&self, node_id: NodeId) -> String {
        format!("{}{node_id}{}", self.before, self.after)
    }
}

impl Default for NodeUri {
    fn default() -> Self {
        Self { before: "handfast://node/".to_owned(), after: String::new() }
    }
}

impl FromStr for NodeUri {
    type Err = NotANodeUri;

    fn from_str(text: &str) -> Result<Self, NotANodeUri> {
        let (before, after) = text.split_once(ID).ok_or(NotANodeUri)?;
        let (scheme, rest) = before.split_once("://").ok_or(NotANodeUri)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        // The characters of RFC 3986 without the brackets of an IPv6 address.
        let is_uri = |part: &str| {
            part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&c))
        };
        let fits = text.len() <= MOST_BYTES && is_scheme && is_uri(rest) && is_uri(after);
        if !fits {
            return Err(NotANodeUri);
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

impl std::fmt::Display for NodeUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{ID}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_a_node_and_reads_back() {
        let node = NodeId::from_bytes([0xab; 16]);
        assert_eq!(NodeUri::default().of(node), format!("handfast://node/{node}"));
        let form: NodeUri = "spiffe://example.org/node/{id}/tls".parse().unwrap();
        assert_eq!(form.of(node), format!("spiffe://example.org/node/{node}/tls"));
        assert_eq!(form.to_string().parse(), Ok(form));
    }

    #[test]
    fn a_form_without_one_place_for_the_id_is_refused() {
        let long = format!("handfast://{}{{id}}", "a".repeat(160));
        for wrong in [
            "",
            "handfast://node/",
            "{id}",
            "node/{id}",
            "://{id}",
            "1a://{id}",
            "handfast://{id}/{id}",
            "handfast://node/{id} ",
            "handfast://nöde/{id}",
            &long,
        ] {
            assert_eq!(wrong.parse::<NodeUri>(), Err(NotANodeUri), "{wrong}");
        }
    }
}
