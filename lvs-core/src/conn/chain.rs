//! Connections that one reply could be of: one end of a client has them with one end of a server, by way of several virtual
//! addresses or ports.
//!
//! Owns: their order, newest first, threaded through the entries. The index knows the newest alone, so that neither a reply
//! nor a new connection goes past the others.
//! Leaves to others: which connections these are, and the index (`table`).

use super::id::NONE;
use super::slab::Slab;

/// Puts a connection before the one that was the newest; `NONE` if there was none.
pub(super) fn join(slab: &mut Slab, slot: u32, newest: u32) {
    let entry = slab.get_mut(slot);
    entry.set_newer(NONE);
    entry.set_older(newest);
    if newest != NONE {
        slab.get_mut(newest).set_newer(slot);
    }
}

/// Takes a connection out. If it was the newest: the one that is now, or `NONE`.
pub(super) fn leave(slab: &mut Slab, slot: u32) -> Option<u32> {
    let (newer, older) = slab.get(slot).neighbours();
    if older != NONE {
        slab.get_mut(older).set_newer(newer);
    }
    if newer != NONE {
        slab.get_mut(newer).set_older(older);
        return None;
    }
    Some(older)
}

/// The connections older than one, the newest first.
pub(super) fn older(slab: &Slab, slot: u32) -> impl Iterator<Item = u32> + '_ {
    let next = |&slot: &u32| Some(slab.get(slot).neighbours().1).filter(|&older| older != NONE);
    core::iter::successors(next(&slot), next)
}
