//! The keys that a running gateway takes over when its file is read again.

use super::keys::KEYS;
use super::settings::ServeSettings;

/// Keys whose values differ between two settings, each with its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys that a running gateway takes over.
    pub live: Vec<String>,
    /// Keys that are taken over only at the next start.
    pub at_start: Vec<String>,
}

impl ServeSettings {
    /// Returns the keys that are different in newer settings.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        for key in KEYS.iter().filter(|key| key.show(self) != key.show(newer)) {
            let name = match key.section {
                "" => key.name.to_owned(),
                section => format!("{} in [{section}]", key.name),
            };
            if key.live { &mut changes.live } else { &mut changes.at_start }.push(name);
        }
        changes
    }

    /// Takes the keys over that a running gateway takes over.
    pub fn take_over(&mut self, newer: &Self) {
        self.log.clone_from(&newer.log);
        self.proxies.clone_from(&newer.proxies);
        self.pairing.rules.clone_from(&newer.pairing.rules);
        self.limits.waiting_total = newer.limits.waiting_total;
        self.limits.waiting_per_source = newer.limits.waiting_per_source;
        self.limits.linked_total = newer.limits.linked_total;
    }
}
