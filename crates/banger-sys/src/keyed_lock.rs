//! One async lock per key. Dropping the waiting future ends the wait; keys that nobody holds take no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{
    Mutex as AsyncMutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
};

/// Locks by key. The map's mutex is held only for a lookup, never across a wait.
#[derive(Debug)]
pub struct KeyedLock<K>(Mutex<HashMap<K, Weak<AsyncMutex<()>>>>);

/// Locks by key that many may share, or one may hold exclusively. A waiter for exclusive access comes before later sharers.
#[derive(Debug)]
pub struct SharedKeyedLock<K>(Mutex<HashMap<K, Weak<RwLock<()>>>>);

/// A shared lock; dropping it releases the lock.
pub type SharedGuard = OwnedRwLockReadGuard<()>;

/// An exclusive lock; dropping it releases the lock.
pub type AloneGuard = OwnedRwLockWriteGuard<()>;

/// A held lock; dropping it releases the lock.
pub type KeyedGuard = OwnedMutexGuard<()>;

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> KeyedLock<K> {
    /// Waits for the lock of this key.
    pub async fn lock(&self, key: &K) -> KeyedGuard {
        entry(&self.0, key).lock_owned().await
    }

    /// Takes the lock of this key if it is free.
    pub fn try_lock(&self, key: &K) -> Option<KeyedGuard> {
        entry(&self.0, key).try_lock_owned().ok()
    }
}

impl<K> Default for SharedKeyedLock<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> SharedKeyedLock<K> {
    /// Waits until nobody holds the lock of this key exclusively.
    pub async fn shared(&self, key: &K) -> SharedGuard {
        entry(&self.0, key).read_owned().await
    }

    /// Waits until nobody holds the lock of this key.
    pub async fn alone(&self, key: &K) -> AloneGuard {
        entry(&self.0, key).write_owned().await
    }
}

/// Returns the lock of a key, making it if necessary, and forgets the locks that nobody holds.
fn entry<K: Eq + Hash + Clone, L: Default>(locks: &Mutex<HashMap<K, Weak<L>>>, key: &K) -> Arc<L> {
    let mut locks = locks.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
        return lock;
    }
    locks.retain(|_, lock| lock.strong_count() > 0);
    let lock = Arc::new(L::default());
    locks.insert(key.clone(), Arc::downgrade(&lock));
    lock
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_ready<T>(future: impl Future<Output = T>) -> bool {
        matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[tokio::test]
    async fn one_key_waits_and_another_does_not() {
        let locks = KeyedLock::default();
        let held = locks.lock(&"a").await;
        assert!(!is_ready(locks.lock(&"a")));
        assert!(locks.try_lock(&"a").is_none());
        assert!(is_ready(locks.lock(&"b")));
        assert!(locks.try_lock(&"b").is_some());
        drop(held);
        assert!(is_ready(locks.lock(&"a")));
    }

    #[tokio::test]
    async fn a_key_that_nobody_holds_is_forgotten() {
        let locks = KeyedLock::default();
        drop(locks.lock(&"a").await);
        let _held = locks.lock(&"b").await;
        assert_eq!(locks.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn many_share_a_key_and_who_wants_it_alone_waits_for_all_of_them() {
        let locks = SharedKeyedLock::default();
        let (first, second) = (locks.shared(&"a").await, locks.shared(&"a").await);
        let mut alone = Box::pin(locks.alone(&"a"));
        assert!(!is_ready(&mut alone));
        assert!(is_ready(locks.alone(&"b")));
        // A later sharer would make the wait endless.
        assert!(!is_ready(locks.shared(&"a")));
        drop((first, second));
        let held = alone.await;
        assert!(!is_ready(locks.shared(&"a")));
        drop(held);
        assert!(is_ready(locks.shared(&"a")));
    }
}
