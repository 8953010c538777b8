//! A bounded memory of what came lately: two generations, so that nothing has to be sorted by age.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the newest `most / 2` to `most` entries.
#[derive(Debug)]
pub struct Lately<K, V> {
    most: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    new: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Lately<K, V> {
    pub fn new(most: usize) -> Self {
        Self { most, generations: Mutex::new(Generations { new: HashMap::new(), old: HashMap::new() }) }
    }

    pub fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let generations = self.generations();
        generations.new.get(key).or_else(|| generations.old.get(key)).cloned()
    }

    pub fn put(&self, key: K, value: V) {
        let mut generations = self.generations();
        if generations.new.len() >= self.most / 2 {
            generations.old = std::mem::take(&mut generations.new);
        }
        generations.new.insert(key, value);
    }

    /// Nothing here panics while it holds the lock; if it did, what is there would still do.
    fn generations(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_of_it() {
        let lately = Lately::new(10);
        (0..23).for_each(|id| lately.put(id, id.to_string()));
        let known: Vec<i32> = (0..23).filter(|id| lately.find(id).is_some()).collect();
        assert!((5..=10).contains(&known.len()), "{known:?}");
        assert_eq!(known.last(), Some(&22));
        lately.put(22, "again".to_owned());
        assert_eq!(lately.find(&22).as_deref(), Some("again"));
    }
}
