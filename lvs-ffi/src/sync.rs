//! Synchronisation: messages out, messages in, the daemons.

use core::ffi::{CStr, c_char};
use core::net::SocketAddr;

use lvs_core::{DaemonRole, DaemonSpec, DaemonView, Instant, SyncIgnored, SyncReceived};

use crate::handle::Inner;
use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NOT_FOUND, LVS_ERR_SPACE};
use crate::text;
use crate::{lvs_address, lvs_director, ptr, status::boundary};

/// What a synchronisation daemon does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_role {
    /// Sends its connections.
    LVS_ROLE_MASTER = 1,
    /// Receives them.
    LVS_ROLE_BACKUP = 2,
}

fn role_of(number: u32) -> Result<DaemonRole, lvs_status> {
    match number {
        1 => Ok(DaemonRole::Master),
        2 => Ok(DaemonRole::Backup),
        _ => Err(LVS_ERR_ARGUMENT),
    }
}

const fn number_of(role: DaemonRole) -> u32 {
    match role {
        DaemonRole::Master => lvs_role::LVS_ROLE_MASTER as u32,
        DaemonRole::Backup => lvs_role::LVS_ROLE_BACKUP as u32,
    }
}

/// A synchronisation daemon, as ipvsadm --start-daemon describes it. Begin with LVS_DAEMON_INIT and put the role.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_daemon {
    /// sizeof(lvs_daemon).
    pub size: u32,
    /// LVS_ROLE_MASTER or LVS_ROLE_BACKUP.
    pub role: u32,
    /// Multicast group and UDP port; family 0 and port 0 for the usual ones.
    pub group: lvs_address,
    /// Longest message in bytes, 0 for what fits into 1500.
    pub max_length: u16,
    /// 0 to 255; a backup of id 0 takes messages of every id.
    pub sync_id: u8,
    /// Time to live, 0 for 1.
    pub ttl: u8,
    /// The interface for multicast. The library has none: this is for listings, and for the program that sends.
    pub interface: [c_char; 16],
}

impl ptr::Growing for lvs_daemon {}

impl lvs_daemon {
    const DEFAULT: Self = Self {
        size: size_of::<Self>() as u32,
        role: 0,
        group: lvs_address { family: 0, reserved: 0, port: 0, bytes: [0; 16] },
        max_length: 0,
        sync_id: 0,
        ttl: 0,
        interface: text::put("eth0"),
    };

    fn read(&self) -> Result<DaemonSpec, lvs_status> {
        let given = |number: u16| (number != 0).then_some(number);
        Ok(DaemonSpec {
            interface: text::name(&self.interface)?,
            sync_id: self.sync_id,
            max_len: given(self.max_length),
            group: self.group.given()?,
            port: given(self.group.port),
            ttl: (self.ttl != 0).then_some(self.ttl),
            ..DaemonSpec::new(role_of(self.role)?)
        })
    }
}

impl From<&DaemonView> for lvs_daemon {
    fn from(view: &DaemonView) -> Self {
        Self {
            role: number_of(view.role),
            group: SocketAddr::new(view.group, view.port).into(),
            max_length: view.max_len,
            sync_id: view.sync_id,
            ttl: view.ttl,
            interface: text::put(&view.interface),
            ..Self::DEFAULT
        }
    }
}

/// Starts a synchronisation daemon. A master tells of connections from now on, a backup takes what it is told; both may run
/// at once. LVS_ERR_EXISTS, LVS_ERR_REFUSED, LVS_ERR_FULL; then nothing has changed. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_start_daemon(
    director: *mut lvs_director,
    daemon: *const lvs_daemon,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, daemon) =
            unsafe { (lvs_director::borrow(director)?, ptr::sized(daemon, lvs_daemon::DEFAULT)?) };
        handle.director.start_daemon(&daemon.read()?).map_err(|error| handle.refuse(&error))
    })
}

/// Stops the synchronisation daemon of a role, LVS_ROLE_*. What a master has not handed out yet is lost. LVS_ERR_NOT_FOUND.
/// One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_stop_daemon(director: *mut lvs_director, role: u32) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.stop_daemon(role_of(role)?).map_err(|error| handle.refuse(&error))
    })
}

/// Writes the description of the daemon of a role, LVS_ROLE_*, with what was chosen where it said 0; put the size into *out
/// first. LVS_ERR_NOT_FOUND if it does not run. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_daemon(
    director: *const lvs_director,
    role: u32,
    out: *mut lvs_daemon,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::sized_out(out)?) };
        let role = role_of(role)?;
        let daemons = handle.director.daemons();
        let daemon = daemons.iter().find(|daemon| daemon.role == role).ok_or(LVS_ERR_NOT_FOUND)?;
        out.write(lvs_daemon::from(daemon));
        Ok(())
    })
}

/// Where a message of the master daemon is to be sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_sync_message {
    /// Bytes of the message, the payload of a UDP datagram; 0 if there is none.
    pub length: u32,
    /// Multicast group and UDP port.
    pub group: lvs_address,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// 0.
    pub reserved: [u8; 3],
}

const NO_MESSAGE: lvs_sync_message = lvs_sync_message {
    length: 0,
    group: lvs_address { family: 0, reserved: 0, port: 0, bytes: [0; 16] },
    ttl: 0,
    reserved: [0; 3],
};

/// Writes the next message that the master daemon has for its group, if any: send it, and ask again until the length is 0.
/// LVS_ERR_SPACE if it does not fit; message tells the length then, too, and the next call gives the same one.
///
/// Ask after packets and after lvs_director_advance, and when lvs_director_next_deadline has come. One thread at a time per
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_poll_sync(
    director: *mut lvs_director,
    now_ns: u64,
    out: *mut u8,
    capacity: usize,
    message: *mut lvs_sync_message,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, out, message) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(out, capacity)?, ptr::output(message)?) };
        let Inner { director, notes, .. } = &mut *handle;
        if notes.unsent.is_none() {
            notes.unsent = director.poll_sync(Instant::from_nanos(now_ns)).map(|next| {
                let about = lvs_sync_message {
                    length: u32::try_from(next.bytes.len()).unwrap_or(u32::MAX),
                    group: SocketAddr::new(next.group, next.port).into(),
                    ttl: next.ttl,
                    ..NO_MESSAGE
                };
                (about, next.bytes.to_vec())
            });
        }
        let Some((about, bytes)) = &notes.unsent else {
            message.write(NO_MESSAGE);
            return Ok(());
        };
        message.write(*about);
        if bytes.len() > out.len() {
            return Err(LVS_ERR_SPACE);
        }
        for (place, byte) in out.iter_mut().zip(bytes) {
            place.write(*byte);
        }
        notes.unsent = None;
        Ok(())
    })
}

/// Why a message of synchronisation, the rest of one, or a record of it was not taken.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_sync_ignored {
    /// No backup daemon runs here.
    LVS_SYNC_NO_BACKUP = 1,
    /// A message shorter than its header.
    LVS_SYNC_TOO_SHORT = 2,
    /// A message whose length is not what it says, or that is longer than the daemon takes.
    LVS_SYNC_LENGTH = 3,
    /// A message of another sync id.
    LVS_SYNC_OTHER_SYNC_ID = 4,
    /// A record that is cut off, or shorter than a record is; what follows it is not read.
    LVS_SYNC_TRUNCATED = 5,
    /// A record of a kind or a version that is not known; what follows it is not read.
    LVS_SYNC_RECORD_KIND = 6,
    /// A record with a malformed option; what follows it is not read.
    LVS_SYNC_OPTION = 7,
    /// A record with an option that is not known and must be.
    LVS_SYNC_UNKNOWN_OPTION = 8,
    /// A record with flags that no connection to be synchronised has.
    LVS_SYNC_FLAGS = 9,
    /// A record of a protocol that is not balanced.
    LVS_SYNC_PROTOCOL = 10,
    /// A record in a state that its protocol has not.
    LVS_SYNC_STATE = 11,
    /// A record with data of a persistence engine that is not there.
    LVS_SYNC_ENGINE = 12,
    /// The end of an older connection than the one there is.
    LVS_SYNC_STALE = 13,
    /// The connection table is full.
    LVS_SYNC_TABLE_FULL = 14,
}

/// What became of a message that was received.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_sync_received {
    /// Connections and templates that were made.
    pub created: u32,
    /// Connections and templates that were there and were changed.
    pub updated: u32,
    /// Records that were skipped.
    pub skipped: u32,
    /// LVS_SYNC_*: why the message, or the rest of it, was not read at all; else 0.
    pub refused: u32,
}

impl From<SyncReceived> for lvs_sync_received {
    fn from(received: SyncReceived) -> Self {
        let SyncReceived { created, updated, skipped, refused } = received;
        Self { created, updated, skipped, refused: refused.map_or(0, |reason| reason as u32) }
    }
}

/// Takes a message that came for the backup daemon: the payload of a UDP datagram to its group and one of its ports. What
/// is wrong with it is told by *received, if that is not NULL, and counted, never an error. One thread at a time per
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_receive_sync(
    director: *mut lvs_director,
    now_ns: u64,
    message: *const u8,
    length: usize,
    received: *mut lvs_sync_received,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, message, out) =
            unsafe { (lvs_director::borrow(director)?, ptr::array(message, length)?, ptr::wanted(received)?) };
        let received = handle.director.receive_sync(Instant::from_nanos(now_ns), message);
        out.map(|out| out.write(received.into()));
        Ok(())
    })
}

/// What synchronisation has counted since the director was built.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_sync_counts {
    /// sizeof(lvs_sync_counts), put there by the caller.
    pub size: u32,
    /// 0.
    pub reserved: u32,
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
    /// Messages and records that were not taken, by LVS_SYNC_*.
    pub ignored: [u64; 16],
}

impl ptr::Growing for lvs_sync_counts {}

/// Writes what synchronisation has counted; put the size into *out first. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_sync_counts(
    director: *const lvs_director,
    out: *mut lvs_sync_counts,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::sized_out(out)?) };
        let counts = handle.director.sync_counts();
        let mut ignored = [0; 16];
        for &reason in SyncIgnored::ALL {
            ignored[reason as usize] = counts.ignored(reason);
        }
        out.write(lvs_sync_counts {
            size: 0,
            reserved: 0,
            records_queued: counts.records_queued,
            messages_sent: counts.messages_sent,
            records_sent: counts.records_sent,
            records_dropped: counts.records_dropped,
            records_abandoned: counts.records_abandoned,
            messages_received: counts.messages_received,
            created: counts.created,
            updated: counts.updated,
            ignored,
        });
        Ok(())
    })
}

/// The name of one of LVS_SYNC_*, such as "no-backup"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_sync_ignored_name(reason: u32) -> *const c_char {
    let name: &CStr = match reason {
        1 => c"no-backup",
        2 => c"too-short",
        3 => c"length",
        4 => c"other-sync-id",
        5 => c"truncated",
        6 => c"record-kind",
        7 => c"option",
        8 => c"unknown-option",
        9 => c"flags",
        10 => c"protocol",
        11 => c"state",
        12 => c"engine",
        13 => c"stale",
        14 => c"table-full",
        _ => c"unknown",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_librarys() {
        for &reason in SyncIgnored::ALL {
            // SAFETY: a static text.
            let name = unsafe { CStr::from_ptr(lvs_sync_ignored_name(reason as u32)) };
            assert_eq!(name.to_str(), Ok(reason.name()));
        }
    }
}
