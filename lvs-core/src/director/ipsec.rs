//! Packets of IPsec: each belongs to the connection over which its keys were exchanged, and makes none.
//!
//! Follows: IPVS. Addresses are rewritten and nothing else; the state of the connection does not change, its time begins
//! anew.

use super::Director;
use super::decision::{Decision, Followed};
use crate::config::{Hook, Meta};
use crate::conn::entry::Side;
use crate::event::Gone;
use crate::forward::rewrite;
use crate::time::Instant;
use crate::verdict::{DropReason, PassReason};
use crate::wire::ipsec;
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;

/// What is to become of a packet of IPsec.
#[derive(Clone, Copy, Debug)]
pub(super) enum IpsecCourse {
    /// To the server or the client of this connection.
    Follow { slot: u32, side: Side },
    /// Nowhere; the connection ends, since its server is gone.
    End { slot: u32 },
    /// Nothing of a connection.
    Done(Decision),
}

impl Director {
    pub(super) fn ipsec_course(&self, now: Instant, meta: Meta, parsed: &Parsed) -> IpsecCourse {
        let exchange = ipsec::key_exchange(&parsed.tuple);
        match self.flows.table.find(self.flows.table.hash(&exchange), &exchange, now) {
            Some((slot, Side::Server)) if self.is_cut_off(self.flows.table.slab.get(slot).server) => {
                IpsecCourse::Done(Decision::Drop(DropReason::Drained))
            }
            Some((slot, Side::Server)) => IpsecCourse::Follow { slot, side: Side::Server },
            _ if meta.hook == Hook::Forward => IpsecCourse::Done(Decision::Pass(PassReason::Forwarded)),
            Some((slot, Side::Client)) => match self.connection_for(slot, parsed) {
                Followed::Keep => IpsecCourse::Follow { slot, side: Side::Client },
                Followed::Drop => IpsecCourse::Done(Decision::Drop(DropReason::ServerGone)),
                Followed::CutOff => IpsecCourse::Done(Decision::Drop(DropReason::Drained)),
                Followed::End | Followed::Shadow => IpsecCourse::End { slot },
            },
            None => IpsecCourse::Done(Decision::Pass(PassReason::NoConnection)),
        }
    }

    /// A packet of IPsec.
    #[cold]
    pub(super) fn ipsec(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, parsed: &Parsed) -> Decision {
        match self.ipsec_course(now, meta, parsed) {
            IpsecCourse::Done(decision) => decision,
            IpsecCourse::End { slot } => {
                self.flows.expire(slot, &mut self.servers, now, Gone::ServerGone);
                Decision::Pass(PassReason::ConnectionEnded)
            }
            IpsecCourse::Follow { slot, side: Side::Server } => {
                let plan = super::transmit::plan_out(self.flows.table.slab.get(slot));
                if let Err(reason) = rewrite(packet, parsed, &plan, meta.checksum) {
                    return Decision::Drop(reason);
                }
                self.flows.touch(slot, now);
                self.count_out(self.flows.table.slab.get(slot).server, parsed.len);
                Decision::ToClient { connection: slot }
            }
            IpsecCourse::Follow { slot, side: Side::Client } => {
                let entry = self.flows.table.slab.get_mut(slot);
                entry.in_packets = entry.in_packets.wrapping_add(1);
                entry.touch(now);
                let server = entry.server;
                self.count_in(server, parsed.len);
                let outcome = self.plan_in(self.flows.table.slab.get(slot), parsed);
                let decision = self.send_in(packet, meta, parsed, &outcome, server, slot);
                if self.daemons.is_master() {
                    self.offer(now, slot, self.flows.table.slab.get(slot).in_packets.cast_signed());
                }
                decision
            }
        }
    }
}
