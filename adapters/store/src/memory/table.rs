//! Rows by their key.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// Rows by their key, and what the open transaction has changed of them.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    /// The rows before each change, the latest last.
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Clone + Ord, V: Clone> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.rows.values()
    }

    pub(super) fn range(
        &self,
        keys: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(keys)
    }

    /// Returns the keys of the rows that match.
    pub(super) fn keys_of(&self, such: impl Fn(&K, &V) -> bool) -> Vec<K> {
        self.iter().filter(|(key, row)| such(key, row)).map(|(key, _)| key.clone()).collect()
    }

    /// Adds or replaces a row.
    pub(super) fn put(&mut self, key: K, row: V) {
        let before = self.rows.insert(key.clone(), row);
        self.undo.push((key, before));
    }

    /// Adds a row; `false`, and nothing is changed, if there is one.
    pub(super) fn add(&mut self, key: K, row: V) -> bool {
        let is_new = !self.has(&key);
        if is_new {
            self.put(key, row);
        }
        is_new
    }

    /// Changes a row; `None` if there is none.
    pub(super) fn change<T>(&mut self, key: &K, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let row = self.rows.get_mut(key)?;
        self.undo.push((key.clone(), Some(row.clone())));
        Some(change(row))
    }

    /// Changes all rows that match. Returns their keys.
    pub(super) fn change_all(
        &mut self,
        such: impl Fn(&K, &V) -> bool,
        mut change: impl FnMut(&mut V),
    ) -> Vec<K> {
        let keys = self.keys_of(such);
        for key in &keys {
            self.change(key, &mut change);
        }
        keys
    }

    /// Removes a row; `false` if there is none.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let Some(row) = self.rows.remove(key) else { return false };
        self.undo.push((key.clone(), Some(row)));
        true
    }

    /// Removes all rows that match. Returns their number.
    pub(super) fn remove_all(&mut self, such: impl Fn(&K, &V) -> bool) -> u64 {
        let keys = self.keys_of(such);
        keys.iter().filter(|key| self.remove(key)).count() as u64
    }

    /// Returns the keys of at most `most` rows that have an order, the lowest first.
    pub(super) fn first<O: Ord>(&self, most: u32, order: impl Fn(&K, &V) -> Option<O>) -> Vec<K> {
        let mut found: Vec<_> =
            self.iter().filter_map(|(key, row)| Some((order(key, row)?, key))).collect();
        found.sort();
        found.into_iter().take(most as usize).map(|(_, key)| key.clone()).collect()
    }

    /// Ends the transaction: its changes stay, or are undone.
    pub(super) fn end(&mut self, keep: bool) {
        if keep {
            self.undo.clear();
        }
        // The latest change is undone first, because an earlier one may be of the same row.
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }
}

impl<V: Clone> Table<u64, V> {
    /// Adds a row after all others.
    pub(super) fn append(&mut self, row: V) {
        let next = self.rows.last_key_value().map_or(0, |(last, _)| last + 1);
        self.put(next, row);
    }
}
