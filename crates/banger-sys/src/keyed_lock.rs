//! One async lock per key. Waiting ends when the waiting future is dropped; keys that nobody holds take no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by key. The map's mutex is held for a look-up only, never across a wait.
#[derive(Debug)]
pub struct KeyedLock<K>(Mutex<HashMap<K, Weak<AsyncMutex<()>>>>);

/// A held lock; dropping it lets go.
pub type KeyedGuard = OwnedMutexGuard<()>;

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> KeyedLock<K> {
    /// Waits for the lock of this key.
    pub async fn lock(&self, key: &K) -> KeyedGuard {
        self.entry(key).lock_owned().await
    }

    /// Takes the lock of this key if nobody has it.
    pub fn try_lock(&self, key: &K) -> Option<KeyedGuard> {
        self.entry(key).try_lock_owned().ok()
    }

    fn entry(&self, key: &K) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_ready(future: impl Future<Output = KeyedGuard>) -> bool {
        matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[tokio::test]
    async fn one_key_waits_and_another_does_not() {
        let locks = KeyedLock::default();
        let held = locks.lock(&"a").await;
        assert!(!is_ready(locks.lock(&"a")));
        assert!(locks.try_lock(&"a").is_none());
        assert!(is_ready(locks.lock(&"b")));
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
}
