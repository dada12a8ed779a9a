//! What a backup daemon takes from a record: checks that need no table.

use super::SyncIgnored;
use super::message::Record;
use crate::control::DaemonView;
use crate::flow::Protocol;
use crate::proto::{sctp, tcp};

/// Encapsulating Security Payload and Authentication Header (RFC 4303, RFC 4302): known, and in one state for ever.
const ESP: u8 = 50;
const AH: u8 = 51;
/// States of a template: a handshake was completed under it, or not.
const TEMPLATE_STATES: u16 = 2;

#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) view: DaemonView,
}

impl Backup {
    /// Whether a message of this id and length is taken at all.
    pub(crate) fn check(&self, sync_id: u8, len: usize) -> Result<(), SyncIgnored> {
        if len > usize::from(self.view.max_len) {
            return Err(SyncIgnored::Length);
        }
        if self.view.sync_id != 0 && self.view.sync_id != sync_id {
            return Err(SyncIgnored::OtherSyncId);
        }
        Ok(())
    }
}

/// The state of a record, if its protocol has it.
pub(crate) fn state(record: &Record<'_>) -> Result<u8, SyncIgnored> {
    let states =
        if record.is_template() { TEMPLATE_STATES } else { states(record.protocol).ok_or(SyncIgnored::Protocol)? };
    u8::try_from(record.state).ok().filter(|_| record.state < states).ok_or(SyncIgnored::State)
}

/// How many states a protocol has, if it is known.
fn states(protocol: u8) -> Option<u16> {
    match Protocol::from_number(protocol) {
        Some(Protocol::Tcp) => u16::try_from(tcp::STATES).ok(),
        Some(Protocol::Sctp) => u16::try_from(sctp::STATES).ok(),
        Some(Protocol::Udp) => Some(1),
        None => matches!(protocol, ESP | AH).then_some(1),
    }
}
