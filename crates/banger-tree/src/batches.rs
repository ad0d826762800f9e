//! Batches of items: many small ones share a message, so that a tree of small files costs little more than its bytes.

use crate::{CHUNK_BYTES, Item, batch_bytes};

/// Packs items into batches of about one chunk.
pub fn batches(items: impl IntoIterator<Item = Item>) -> impl Iterator<Item = Vec<Item>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES {
            let Some(item) = items.next() else { break };
            bytes += batch_bytes(&item);
            batch.push(item);
        }
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_items_travel_together_and_large_ones_alone() {
        let data = |count: usize| Item::Data { offset: 0, content: vec![0; count].into() };
        let lengths = |items: Vec<Item>| batches(items).map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(lengths(Vec::new()), [0; 0]);
        assert_eq!(lengths(vec![Item::Leave; 10]), [10]);
        assert_eq!(lengths(vec![data(CHUNK_BYTES); 3]), [1, 1, 1]);
        assert_eq!(lengths(vec![Item::Leave, data(CHUNK_BYTES), Item::End]), [2, 1]);
    }
}
