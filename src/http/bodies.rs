//! The memory that bodies of requests may take all together, from their first byte until their facts are stored.
//!
//! One body is small; thousands at once, or a journal that cannot keep up, are not. Whoever finds no room is asked to
//! come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all bodies; what is made of them takes a few times as much.
const ROOM: usize = 64 << 20;

/// There is no room for more now.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Default)]
pub struct Bodies(Arc<AtomicUsize>);

/// One body's part; given back when dropped.
#[derive(Debug)]
pub struct Held {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Bodies {
    /// A body of which nothing has come yet.
    pub fn hold(&self) -> Held {
        Held { all: Arc::clone(&self.0), bytes: 0 }
    }
}

impl Held {
    /// Makes room for so much more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > ROOM { Err(Full) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_takes_none_and_leaves_it_to_the_next() {
        let bodies = Bodies::default();
        let mut large = bodies.hold();
        assert_eq!(large.grow(ROOM), Ok(()));
        let mut late = bodies.hold();
        assert_eq!(late.grow(1), Err(Full));
        drop(late);
        drop(large);
        assert_eq!(bodies.hold().grow(ROOM), Ok(()));
    }
}
