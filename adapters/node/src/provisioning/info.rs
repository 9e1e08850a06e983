//! What a node tells of itself before it is provisioned.

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's id before a command center gave it one, and the name of its access point.
    pub node_id: String,
    /// The version of the program.
    pub firmware_version: String,
    /// The hardware.
    pub hardware: String,
    /// The address of the network interface.
    pub mac_address: String,
    /// What the node can do.
    pub capabilities: Vec<String>,
}

impl NodeInfo {
    /// Describes this machine: its model and the address of its first network interface. `prefix`
    /// begins the node's id.
    #[must_use]
    pub fn of_this_machine(prefix: &str) -> Self {
        let mac_address = mac_address().unwrap_or_else(|| "00:00:00:00:00:00".to_owned());
        let model = std::fs::read_to_string("/proc/device-tree/model").ok();
        Self {
            node_id: default_node_id(prefix, &mac_address),
            firmware_version: env!("CARGO_PKG_VERSION").to_owned(),
            hardware: model
                .map(|model| model.trim_end_matches('\0').to_owned())
                .unwrap_or_else(|| format!("linux-{}", std::env::consts::ARCH)),
            mac_address,
            capabilities: vec!["wifi".to_owned(), "k2".to_owned()],
        }
    }
}

impl NodeInfo {
    /// Returns the name of the node's access point.
    #[must_use]
    pub fn access_point(&self) -> &str {
        &self.node_id
    }
}

/// Returns the id of a node that no command center has named: the prefix and the last eight hex
/// digits of its address.
#[must_use]
pub fn default_node_id(prefix: &str, mac_address: &str) -> String {
    let digits: String = mac_address.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{prefix}{}", end(&digits, 8).to_ascii_lowercase())
}

fn end(text: &str, most: usize) -> &str {
    let from = text.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or(text)
}

/// Returns the address of the first interface that has one, Wi-Fi ahead of others.
fn mac_address() -> Option<String> {
    let mut interfaces: Vec<_> = std::fs::read_dir("/sys/class/net").ok()?.flatten().collect();
    interfaces.sort_by_key(|entry| (!entry.path().join("wireless").exists(), entry.file_name()));
    let address = |entry: &std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("address")).ok()?;
        let text = text.trim();
        (text.len() == 17 && text != "00:00:00:00:00:00").then(|| text.to_owned())
    };
    interfaces.iter().find_map(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_the_end_of_its_address() {
        for (address, name) in
            [("B8:27:EB:1A:2B:3C", "jarvis-eb1a2b3c"), ("1a:2b", "jarvis-1a2b"), ("", "jarvis-")]
        {
            assert_eq!(default_node_id("jarvis-", address), name);
        }
    }
}
