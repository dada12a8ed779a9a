//! The list of a service's servers: what stands in a row for all that look through it, and grows at its head.

use alloc::vec::Vec;
use core::ops::Deref;

/// Slots of servers, the latest added first.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// What is before `head` is room for those to come.
    room: Vec<u32>,
    head: usize,
}

impl List {
    /// Puts a server first. However many there are, that takes the same time in the mean.
    pub(crate) fn put_first(&mut self, server: u32) {
        if self.head == 0 {
            let len = self.room.len();
            self.head = len.max(4);
            self.room.resize(self.head + len, 0);
            self.room.copy_within(..len, self.head);
        }
        self.head -= 1;
        self.room[self.head] = server;
    }

    /// Takes out the server at a position.
    pub(crate) fn remove(&mut self, position: usize) {
        self.room.remove(self.head + position);
    }
}

impl Deref for List {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.room[self.head..]
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a u32;
    type IntoIter = core::slice::Iter<'a, u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_list_is_a_vector_that_grows_at_its_head() {
        let mut rng = Rng::from_seed(7);
        let (mut list, mut same, mut most) = (List::default(), Vec::new(), 0);
        for server in 0..3000 {
            // Longer first, then shorter.
            if same.is_empty() || rng.next_u64() % 3000 > u64::from(server) {
                list.put_first(server);
                same.insert(0, server);
            } else {
                let position = (rng.next_u64() % same.len() as u64) as usize;
                list.remove(position);
                same.remove(position);
            }
            assert_eq!(*list, same[..]);
            most = most.max(same.len());
        }
        assert!(most > 500 && same.len() < most / 2);
    }
}
