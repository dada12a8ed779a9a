//! What a master daemon has to send: messages that wait, and one in the making for each queue.
//!
//! Follows: Linux 6.1.192. A record goes into the message in the making; one that has no room for it, or is of another
//! version, is finished first. A message also leaves when its first record is two seconds old. Other than there a
//! message has at most 255 records, since it could not say that it has more; finished ones are handed out at once.
//!
//! All room is taken when the daemon starts.

use alloc::vec::Vec;
use core::time::Duration;

use super::message::{RECORD_MAX, Record, header_len, record_len, write_header, write_record};
use super::{SyncCounts, Version};
use crate::control::DaemonView;
use crate::time::Instant;

/// A message leaves when its first record is so old.
const AGE: Duration = Duration::from_secs(2);
/// Room of a queue: about a thousand messages for Ethernet, and never fewer than eight.
const QUEUE_BYTES: usize = 1_536 * 1_024;
const QUEUE_MIN: usize = 8;

#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) view: DaemonView,
    queues: Vec<Queue>,
}

/// Messages that wait, oldest first, in slots of one length; behind them the one in the making.
#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    slot_len: usize,
    /// Length and records of the message in each slot.
    slots: Vec<(usize, u8)>,
    first: usize,
    waiting: usize,
    open: Option<Open>,
}

/// A message in the making.
#[derive(Clone, Copy, Debug)]
struct Open {
    version: Version,
    len: usize,
    /// No longer than this.
    room: usize,
    records: u8,
    since: Instant,
}

impl Master {
    /// A master with so many queues; `None` if there is not so much memory.
    pub(crate) fn new(view: DaemonView, queues: usize) -> Option<Self> {
        let slot_len = usize::from(view.max_len).max(header_len(Version::V1) + RECORD_MAX);
        let slots = (QUEUE_BYTES / slot_len).max(QUEUE_MIN) + 1;
        let queue = || {
            let (mut bytes, mut lens) = (Vec::new(), Vec::new());
            bytes.try_reserve_exact(slots * slot_len).ok()?;
            bytes.resize(slots * slot_len, 0);
            lens.try_reserve_exact(slots).ok()?;
            lens.resize(slots, (0, 0));
            Some(Queue { bytes, slot_len, slots: lens, first: 0, waiting: 0, open: None })
        };
        Some(Self { view, queues: (0..queues).map(|_| queue()).collect::<Option<_>>()? })
    }

    /// Puts a record into the queue of its connection: any spread that keeps a connection in one queue will do.
    pub(crate) fn tell(&mut self, connection: u32, record: &Record<'_>, told: Telling, counts: &mut SyncCounts) {
        let queue = connection as usize % self.queues.len();
        if let Some(queue) = self.queues.get_mut(queue) {
            counts.records_queued += 1;
            queue.put(record, &self.view, told, counts);
        }
    }

    /// The next message to be sent: its bytes and its queue.
    pub(crate) fn next(&mut self, now: Instant, most: i32, counts: &mut SyncCounts) -> Option<(&[u8], u16)> {
        for queue in &mut self.queues {
            if queue.open.is_some_and(|open| now >= open.since + AGE) {
                queue.finish(self.view.sync_id, most, counts);
            }
        }
        let number = self.queues.iter().position(|queue| queue.waiting > 0)?;
        let bytes = self.queues.get_mut(number)?.pop(counts);
        Some((bytes, u16::try_from(number).unwrap_or(0)))
    }

    /// When [`next`](Self::next) next has something: now if something waits.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let at = |queue: &Queue| {
            let waits = (queue.waiting > 0).then_some(now);
            waits.or_else(|| queue.open.map(|open| open.since + AGE))
        };
        self.queues.iter().filter_map(at).min()
    }

    /// The records that no message has carried away.
    pub(crate) fn records_left(&self) -> u64 {
        let left = |queue: &Queue| {
            let waiting = (0..queue.waiting).map(|n| u64::from(queue.slots[queue.slot(n)].1)).sum::<u64>();
            waiting + queue.open.map_or(0, |open| u64::from(open.records))
        };
        self.queues.iter().map(left).sum()
    }
}

/// How a record is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    pub(crate) now: Instant,
    pub(crate) version: Version,
    /// The tunable `sync_qlen_max`.
    pub(crate) most: i32,
}

impl Queue {
    /// The slot of the message that is so many behind the first.
    fn slot(&self, behind: usize) -> usize {
        (self.first + behind) % self.slots.len()
    }

    fn put(&mut self, record: &Record<'_>, view: &DaemonView, told: Telling, counts: &mut SyncCounts) {
        let len = record_len(record, told.version);
        let start = |open: &Open| match told.version {
            Version::V0 => open.len,
            Version::V1 => open.len.next_multiple_of(4),
        };
        if let Some(open) = &self.open
            && (open.version != told.version || start(open) + len > open.room || open.records == u8::MAX)
        {
            self.finish(view.sync_id, told.most, counts);
        }
        let header = header_len(told.version);
        let mut open = self.open.unwrap_or_else(|| Open {
            version: told.version,
            len: header,
            room: (header + len).max(usize::from(view.max_len)),
            records: 0,
            since: told.now,
        });
        let (at, from) = (self.slot(self.waiting) * self.slot_len, start(&open));
        let slot = &mut self.bytes[at..at + self.slot_len];
        slot[open.len..from].fill(0);
        write_record(record, told.version, &mut slot[from..from + len]);
        (open.len, open.records) = (from + len, open.records + 1);
        self.open = Some(open);
    }

    /// The message in the making is complete: it waits to be sent, or is lost if too many do.
    fn finish(&mut self, sync_id: u8, most: i32, counts: &mut SyncCounts) {
        let Some(open) = self.open.take() else { return };
        let full = self.waiting + 1 >= self.slots.len() || i64::try_from(self.waiting).unwrap_or(0) >= i64::from(most);
        if full {
            counts.records_dropped += u64::from(open.records);
            return;
        }
        let slot = self.slot(self.waiting);
        let at = slot * self.slot_len;
        write_header(open.version, sync_id, open.records, open.len, &mut self.bytes[at..at + open.len]);
        self.slots[slot] = (open.len, open.records);
        self.waiting += 1;
    }

    /// Takes the first message that waits.
    fn pop(&mut self, counts: &mut SyncCounts) -> &[u8] {
        let (len, records) = self.slots[self.first];
        let at = self.first * self.slot_len;
        self.first = self.slot(1);
        self.waiting -= 1;
        counts.messages_sent += 1;
        counts.records_sent += u64::from(records);
        &self.bytes[at..at + len]
    }
}
