//! Indices of connections: by the things they depend on, and by their subscriptions. A connection
//! removes itself when it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};

use handfast_core::grant::scope::{Address, Pattern};

use super::mailbox::Mailbox;

/// An index with any number of connections under each key. Finding, adding and removing one costs
/// the same however many others there are.
#[derive(Debug)]
pub(crate) struct SubscriptionIndex<K>(Mutex<BTreeMap<(K, usize), Weak<Mailbox>>>);

impl<K> Default for SubscriptionIndex<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Copy> SubscriptionIndex<K> {
    pub(crate) fn add(&self, key: K, mailbox: &Arc<Mailbox>) {
        let mut table = self.0.lock().expect("no thread panics while it holds a table");
        table.insert((key, place(mailbox)), Arc::downgrade(mailbox));
    }

    pub(crate) fn remove(&self, key: K, mailbox: &Arc<Mailbox>) {
        self.0
            .lock()
            .expect("no thread panics while it holds a table")
            .remove(&(key, place(mailbox)));
    }

    /// Returns the live connections under this key.
    pub(crate) fn of(&self, key: K) -> Vec<Arc<Mailbox>> {
        let table = self.0.lock().expect("no thread panics while it holds a table");
        table
            // The second part of a key is the mailbox's address, so this range is all of one key.
            .range((key, 0)..=(key, usize::MAX))
            .filter_map(|(_, mailbox)| mailbox.upgrade())
            .collect()
    }

    /// Returns all live connections, once for each of their keys.
    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        let table = self.0.lock().expect("no thread panics while it holds a table");
        table.values().filter_map(Weak::upgrade).collect()
    }

    /// Returns `true` if no connection is registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().expect("no thread panics while it holds a table").is_empty()
    }
}

/// Returns a number that is unique among the connections that live.
fn place(mailbox: &Arc<Mailbox>) -> usize {
    Arc::as_ptr(mailbox).addr()
}

/// Patterns grouped by their first segment, so that an event is compared only with patterns that
/// may match it.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Mutex<HashMap<Box<str>, Bucket>>);

type Bucket = BTreeMap<(usize, Arc<str>), Weak<Mailbox>>;

/// Bucket of the patterns whose first segment is a wildcard, and of `/`.
const ANYWHERE: &str = "";

impl Subscriptions {
    pub(crate) fn add(&self, pattern: &Arc<str>, mailbox: &Arc<Mailbox>) {
        let mut table = self.0.lock().expect("no thread panics while it holds the subscriptions");
        let bucket = table.entry(bucket_of(pattern).into()).or_default();
        bucket.insert((place(mailbox), Arc::clone(pattern)), Arc::downgrade(mailbox));
    }

    pub(crate) fn remove(&self, pattern: &Arc<str>, mailbox: &Arc<Mailbox>) {
        let mut table = self.0.lock().expect("no thread panics while it holds the subscriptions");
        let bucket = bucket_of(pattern);
        if let Some(others) = table.get_mut(bucket) {
            others.remove(&(place(mailbox), Arc::clone(pattern)));
            if others.is_empty() {
                table.remove(bucket);
            }
        }
    }

    /// Returns the connections with a subscription that matches the address, each once.
    pub(crate) fn of(&self, address: &Address<'_>) -> Vec<Arc<Mailbox>> {
        let table = self.0.lock().expect("no thread panics while it holds the subscriptions");
        let first = bucket_of(address.as_str());
        let buckets = [Some(ANYWHERE), (first != ANYWHERE).then_some(first)];
        let mut found = BTreeMap::new();
        for ((place, pattern), mailbox) in
            buckets.into_iter().flatten().filter_map(|bucket| table.get(bucket)).flatten()
        {
            // Several patterns of one connection may match, but it gets an event once.
            if !found.contains_key(place)
                && Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(address))
                && let Some(mailbox) = mailbox.upgrade()
            {
                found.insert(*place, mailbox);
            }
        }
        found.into_values().collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().expect("no thread panics while it holds the subscriptions").is_empty()
    }
}

fn bucket_of(path: &str) -> &str {
    match path.split('/').nth(1) {
        Some(first) if !first.starts_with('*') => first,
        Some(_) | None => ANYWHERE,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::mailbox::Dialect;
    use super::*;

    #[test]
    fn a_publication_reaches_each_subscriber_once_and_nobody_else() {
        let (lights, all, sound) = (
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
        );
        let subscriptions = Subscriptions::default();
        let made: Vec<(Arc<str>, &Arc<Mailbox>)> = vec![
            ("/lights/*".into(), &lights),
            ("/lights/**".into(), &lights),
            ("/**".into(), &lights),
            ("/*/room1".into(), &all),
            ("/sound/**".into(), &sound),
        ];
        for (pattern, mailbox) in &made {
            subscriptions.add(pattern, mailbox);
        }
        let reached = |address| {
            let reached = subscriptions.of(&Address::parse(address).unwrap());
            let mut names: Vec<_> = [("lights", &lights), ("all", &all), ("sound", &sound)]
                .into_iter()
                .filter(|(_, mailbox)| reached.iter().any(|reached| Arc::ptr_eq(reached, mailbox)))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(reached.len(), names.len());
            names.sort_unstable();
            names
        };
        assert_eq!(reached("/lights/room1"), ["all", "lights"]);
        assert_eq!(reached("/sound"), ["lights", "sound"]);
        assert_eq!(reached("/"), ["lights"]);
        for (pattern, mailbox) in &made {
            subscriptions.remove(pattern, mailbox);
        }
        assert!(subscriptions.is_empty());
    }
}
