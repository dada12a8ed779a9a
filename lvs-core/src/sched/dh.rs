//! Destination-hashing scheduling.
//!
//! Owns: the choice only; nothing is remembered.
//! Follows: the `dh` scheduler of IPVS, whose table of 256 slots holds at slot `i` the server at position `i` modulo
//! the length of the list. It is rebuilt whenever that length changes, so that the position can as well be computed.

use alloc::boxed::Box;

use super::{NewFlow, Pool, Scheduler, Weights, hash_bits};
use crate::service::ServerId;

/// `dh`: the server that belongs to the address that the client wrote to, or none if that server cannot take the flow.
///
/// Meant for firewall-mark services, whose packets go to many addresses. Weights do not matter unless 0.
#[derive(Clone, Debug, Default)]
pub struct DestinationHash;

impl DestinationHash {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Scheduler for DestinationHash {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let slot = hash_bits(flow.target.fold(), SLOT_BITS);
        let position = (slot as usize).checked_rem(pool.len())?;
        pool.get(position).filter(|server| server.is_eligible()).map(|server| server.id())
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// The kernel's default (`CONFIG_IP_VS_DH_TAB_BITS`).
const SLOT_BITS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B};
    use super::*;
    use crate::time::Instant;

    fn to(target: &str) -> NewFlow {
        NewFlow::new(Instant::ZERO, 6, "192.0.2.1:1234".parse().unwrap(), target.parse().unwrap())
    }

    #[test]
    fn the_target_address_decides() {
        let mut abc = Abc::new(DestinationHash::new(), [1, 1, 1]);
        assert_eq!(abc.pick_for(&to("192.168.1.1")), 'B');
        assert_eq!(abc.pick_for(&to("10.1.2.3")), 'A');
        // Slots 234 and 76.
        assert_eq!(abc.pick_for(&to("192.168.1.2")), 'C');
        assert_eq!(abc.pick_for(&to("192.168.1.3")), 'B');
    }

    #[test]
    fn a_server_that_cannot_take_the_flow_is_not_replaced() {
        let mut abc = Abc::new(DestinationHash::new(), [1, 1, 1]);
        abc.weight(B, 0);
        assert_eq!(abc.pick_for(&to("192.168.1.1")), '-');
        abc.weight(B, 7);
        assert_eq!(abc.pick_for(&to("192.168.1.1")), 'B');
        abc.overload(A);
        assert_eq!(abc.pick_for(&to("10.1.2.3")), '-');
    }

    #[test]
    fn removing_a_server_deals_the_slots_anew() {
        let mut abc = Abc::new(DestinationHash::new(), [1, 1, 1]);
        abc.remove(B);
        assert_eq!(abc.pick_for(&to("192.168.1.1")), 'C');
        assert_eq!(abc.pick_for(&to("10.1.2.3")), 'C');
    }

    #[test]
    fn more_servers_than_slots_leave_the_oldest_out() {
        let mut abc = Abc::new(DestinationHash::new(), [1, 1, 1]);
        for _ in 0..200 {
            abc.add(1);
        }
        let id = abc.pool.pool().get(136).unwrap().id();
        assert_eq!(abc.pool.pick(&to("192.168.1.1")), Some(id));
    }
}
