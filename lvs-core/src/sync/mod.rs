//! Connection synchronisation: one director tells others of its connections, so that they can go on with them.
//!
//! `message` turns connections into bytes and back, `needed` says when a connection is to be told of, `master` keeps what
//! is to be sent, `backup` says what may be taken from a message, `daemons` are the two roles and what they count. What
//! a record does to the tables is in `director/sync.rs`.
//!
//! Follows: the messages of IPVS in Linux 6.1.192, versions 0 and 1. The library opens no socket: a program sends what
//! [`Director::poll_sync`](crate::Director::poll_sync) gives it to the group, and hands what comes from the group to
//! [`Director::receive_sync`](crate::Director::receive_sync).

pub(crate) mod backup;
pub(crate) mod daemons;
pub(crate) mod master;
pub(crate) mod message;
pub(crate) mod needed;

use core::fmt;
use core::net::IpAddr;

use crate::verdict::reasons;

/// A message to be sent: the payload of one UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncMessage<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// The multicast group to send it to.
    pub group: IpAddr,
    /// The UDP port: that of the daemon, plus the number of the queue that the message comes from.
    pub port: u16,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

/// What became of a message that was received.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReceived {
    /// Connections and templates that were made.
    pub created: u32,
    /// Connections and templates that were there and were changed.
    pub updated: u32,
    /// Records that were skipped; [`SyncCounts::ignored`] says why.
    pub skipped: u32,
    /// Why the message, or the rest of it, was not read at all.
    pub refused: Option<SyncIgnored>,
}

reasons! {
    /// Why a message, the rest of a message, or a record of it was not taken.
    SyncIgnored {
        /// No backup daemon runs here.
        NoBackup = 1, "no-backup";
        /// A message shorter than its header.
        TooShort = 2, "too-short";
        /// A message whose length is not what it says, or that is longer than the daemon takes.
        Length = 3, "length";
        /// A message of another sync id.
        OtherSyncId = 4, "other-sync-id";
        /// A record that is cut off, or shorter than a record is; what follows it is not read.
        Truncated = 5, "truncated";
        /// A record of a kind or a version that is not known; what follows it is not read.
        RecordKind = 6, "record-kind";
        /// A record with a malformed option; what follows it is not read.
        Option = 7, "option";
        /// A record with an option that is not known and must be.
        UnknownOption = 8, "unknown-option";
        /// A record with flags that no connection to be synchronised has.
        Flags = 9, "flags";
        /// A record of a protocol that is not balanced.
        Protocol = 10, "protocol";
        /// A record in a state that its protocol has not.
        State = 11, "state";
        /// A record with data of a persistence engine that is not there.
        Engine = 12, "engine";
        /// The end of an older connection than the one there is.
        Stale = 13, "stale";
        /// The connection table is full.
        TableFull = 14, "table-full";
    }
}

/// What synchronisation has counted since the director was built.
///
/// ```
/// use lvs_core::{Config, Director, Instant, SyncIgnored};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// let received = director.receive_sync(Instant::ZERO, &[0; 44]);
/// assert_eq!(received.refused, Some(SyncIgnored::NoBackup));
/// assert_eq!(director.sync_counts().ignored(SyncIgnored::NoBackup), 1);
/// # Ok::<(), lvs_core::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// Connections and templates put into messages.
    pub records_queued: u64,
    /// Messages handed out to be sent.
    pub messages_sent: u64,
    /// Records in them.
    pub records_sent: u64,
    /// Records lost with messages that found the queue full.
    pub records_dropped: u64,
    /// Records that were waiting when the master daemon was stopped.
    pub records_abandoned: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Connections and templates made by records.
    pub created: u64,
    /// Connections and templates changed by records.
    pub updated: u64,
    ignored: [u64; 16],
}

impl SyncCounts {
    /// Messages and records that were not taken for this reason.
    #[must_use]
    pub const fn ignored(&self, reason: SyncIgnored) -> u64 {
        self.ignored[reason as usize]
    }

    /// Counts what became of a record or a message.
    pub(crate) const fn count_ignored(&mut self, reason: SyncIgnored) {
        self.ignored[reason as usize] += 1;
    }
}

/// The version of the messages that are written. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// IPv4 alone, without timeouts, marks and options.
    V0,
    V1,
}

/// The UDP port, unless told otherwise; further queues have the next ones.
pub(crate) const PORT: u16 = 8848;
/// The most queues there can be.
pub(crate) const QUEUES_MAX: usize = 64;
