//! The packet path: bytes in, one verdict each.
//!
//! ```text
//! bytes -> look -> lookup -> straight ---------------------------------------------------------> Verdict
//!       -> or parse -> classify -> lookup -------+-> track -> plan -> rewrite -> account -> Verdict
//!                               -> or schedule --+
//! ```

use alloc::boxed::Box;

use super::decision::{Decision, Followed, Scheduled};
use super::icmp::ErrorCourse;
use super::ipsec::IpsecCourse;
use super::outbound::ServerCourse;
use super::track::change;
use super::{Director, Gate};
use crate::addr::Family;
use crate::config::{Checksum, Hook, Meta};
use crate::conn::entry::{Flags, Side};
use crate::conn::id::NONE;
use crate::event::Gone;
use crate::flow::Protocol;
use crate::proto::{Input, sctp, tcp};
use crate::service::Method;
use crate::service::server::{Servers, Standing};
use crate::time::Instant;
use crate::verdict::{Direction, DropReason, Forward, PassReason, Reply, Verdict};
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape, parse};
use crate::wire::plain::Plain;
use crate::wire::transport::{self, TcpFlags};
use crate::wire::{ipv4, ipv6};

/// Packets that are looked ahead at: so many cache misses can be under way at once.
pub(super) const BURST: usize = 64;

/// A packet after the first look: what a plain one shows, and the hash of its flow. Any other is left for later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    hash: u64,
    plain: Option<Plain>,
    /// What the table first comes upon for that hash, or [`NONE`].
    candidate: u32,
}

/// The search for a packet's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Search {
    /// Is still to be done: the packet was not read yet.
    Pending,
    /// Came to this.
    Done(Option<(u32, Side)>),
}

impl Glance {
    const NONE: Self = Self { hash: 0, plain: None, candidate: NONE };

    /// The same at a table that may have changed, or at another one.
    #[inline]
    pub(super) fn with_candidate(self, director: &Director) -> Self {
        let candidate = self.plain.and_then(|_| director.flows.table.candidate(self.hash));
        Self { candidate: candidate.unwrap_or(NONE), ..self }
    }

    /// Room for those of a burst. A director keeps it: to make it takes as long as looking at a packet.
    pub(super) fn of_a_burst() -> Box<[Self; BURST]> {
        Box::new([Self::NONE; BURST])
    }
}

/// The last pass over a burst: what becomes of each packet.
pub(crate) trait LastPass {
    /// The packet's connection may be that of this slot.
    fn prefetch(&self, _slot: u32) {}

    /// The packets, in order.
    fn conclude(
        &mut self,
        director: &mut Director,
        packet: &mut Packet<'_>,
        meta: Meta,
        glance: &Glance,
        verdict: &mut Verdict,
    );
}

/// That of a director of its own.
struct InOrder {
    now: Instant,
}

impl LastPass for InOrder {
    #[inline(always)]
    fn conclude(
        &mut self,
        director: &mut Director,
        packet: &mut Packet<'_>,
        meta: Meta,
        glance: &Glance,
        verdict: &mut Verdict,
    ) {
        director.conclude(self.now, packet, meta, glance, verdict);
    }
}

impl Director {
    /// Processes one packet.
    ///
    /// `now` is the time since any fixed origin. The packet begins with its IP header; it is rewritten in place if the
    /// verdict is [`Forward`](Verdict::Forward) or [`Reply`](Verdict::Reply), and else left as it was. Never fails for a
    /// bad packet: that is a verdict, with its reason.
    ///
    /// Connections past their deadline are found no more, but count at their servers until
    /// [`advance`](Director::advance) has taken them away.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Instant, Meta, Packet, PassReason, Verdict};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -t 192.0.2.10:80")?;
    /// let mut syn = packets::tcp("198.51.100.9:40000", "192.0.2.10:443").syn().build();
    /// let verdict = director.process(Instant::ZERO, &mut Packet::whole(&mut syn), Meta::default());
    /// assert_eq!(verdict, Verdict::Pass(PassReason::NoService));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn process(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
        let mut verdict = Verdict::Pass(PassReason::NoService);
        self.process_into(now, packet, meta, &mut verdict);
        verdict
    }

    /// [`process`](Director::process) with the verdict written where the caller wants it, for whoever hands it on in a
    /// form of their own: to move one that was written a moment ago takes as long as to find a connection.
    ///
    /// ```
    /// use lvs_core::{Config, Director, DropReason, Instant, Meta, Packet, PassReason, Verdict};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let mut verdict = Verdict::Pass(PassReason::NoService);
    /// director.process_into(Instant::ZERO, &mut Packet::whole(&mut [0; 9]), Meta::default(), &mut verdict);
    /// assert_eq!(verdict, Verdict::Drop(DropReason::NotIp));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn process_into(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, verdict: &mut Verdict) {
        let now = self.see(now);
        let bytes = packet.bytes();
        match Plain::family_of(bytes) {
            Some(Family::V4) => {
                let plain = Plain::of_v4(bytes, meta.checksum == Checksum::Unverified);
                self.process_plain(now, packet, meta, (plain, Family::V4), verdict);
            }
            Some(Family::V6) => self.process_v6(now, packet, meta, verdict),
            None => self.conclude_at_length(now, packet, meta, Search::Pending, verdict),
        }
    }

    #[inline(never)]
    fn process_v6(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, verdict: &mut Verdict) {
        let plain = Plain::of_v6(packet.bytes());
        self.process_plain(now, packet, meta, (plain, Family::V6), verdict);
    }

    #[inline(always)]
    fn process_plain(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        (plain, family): (Option<Plain>, Family),
        verdict: &mut Verdict,
    ) {
        let search = match &plain {
            None => Search::Pending,
            Some(plain) => {
                let hash = self.flows.table.hash_plain((plain, family), packet.bytes());
                match self.flows.table.candidate(hash) {
                    None => Search::Done(None),
                    Some(candidate) => {
                        let by = (candidate, hash);
                        match self.go_straight_by(now, packet, meta, (plain, family), by, verdict) {
                            Ok(_) => return,
                            Err(found) => Search::Done(found),
                        }
                    }
                }
            }
        };
        self.conclude_at_length(now, packet, meta, search, verdict);
    }

    /// Processes packets in order: `verdicts[i]` is that of `packets[i]`, with `metas[i]`. As many are processed as the
    /// shortest of the three has; returns how many.
    ///
    /// The result is that of [`process`](Director::process) for one after the other. With many connections it is several
    /// times faster, since the memory of a whole burst is fetched at once; 64 packets saturate that.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Instant, Meta, Packet, PassReason, Verdict};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -u 192.0.2.10:53 -s rr")?;
    /// let mut buffers = [packets::udp("198.51.100.1:53", "192.0.2.99:53").build(), vec![0; 9]];
    /// let mut burst: Vec<Packet> = buffers.iter_mut().map(|b| Packet::whole(b)).collect();
    /// let mut verdicts = [Verdict::Pass(PassReason::NoService); 2];
    /// assert_eq!(director.process_burst(Instant::ZERO, &mut burst, &[Meta::default(); 2], &mut verdicts), 2);
    /// assert!(matches!(verdicts, [Verdict::Pass(_), Verdict::Drop(_)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_burst(
        &mut self,
        now: Instant,
        packets: &mut [Packet<'_>],
        metas: &[Meta],
        verdicts: &mut [Verdict],
    ) -> usize {
        let now = self.see(now);
        self.in_passes(packets, metas, verdicts, &mut InOrder { now })
    }

    /// The passes over a burst. How many packets there were.
    #[inline(always)]
    pub(crate) fn in_passes(
        &mut self,
        packets: &mut [Packet<'_>],
        metas: &[Meta],
        verdicts: &mut [Verdict],
        last: &mut impl LastPass,
    ) -> usize {
        let count = packets.len().min(metas.len()).min(verdicts.len());
        let (packets, metas, verdicts) = (&mut packets[..count], &metas[..count], &mut verdicts[..count]);
        let mut glances = self.glances.take().unwrap_or_else(Glance::of_a_burst);
        let chunks = packets.chunks_mut(BURST).zip(metas.chunks(BURST)).zip(verdicts.chunks_mut(BURST));
        for ((packets, metas), verdicts) in chunks {
            for ((glance, packet), meta) in glances.iter_mut().zip(packets.iter()).zip(metas) {
                self.look(packet, *meta, glance);
                if glance.plain.is_some() {
                    self.flows.table.prefetch_index(glance.hash);
                }
            }
            for glance in &mut glances[..packets.len()] {
                if let Some(plain) = &glance.plain
                    && let Some(slot) = self.flows.table.prefetch_entry(glance.hash, plain.family)
                {
                    glance.candidate = slot;
                    last.prefetch(slot);
                }
            }
            let additions = self.flows.table.additions();
            for (((verdict, packet), meta), glance) in
                verdicts.iter_mut().zip(packets).zip(metas).zip(glances.iter_mut())
            {
                if self.flows.table.additions() != additions {
                    *glance = glance.with_candidate(self);
                }
                last.conclude(self, packet, *meta, glance, verdict);
            }
        }
        self.glances = Some(glances);
        count
    }

    /// The first look at a packet. (Each family writes the answer itself: what is put together first and then moved has to
    /// wait until it is in memory.)
    #[inline(always)]
    pub(super) fn look(&self, packet: &Packet<'_>, meta: Meta, glance: &mut Glance) {
        let (bytes, verify) = (packet.bytes(), meta.checksum == Checksum::Unverified);
        match Plain::family_of(bytes) {
            Some(Family::V4) => match Plain::of_v4(bytes, verify) {
                Some(plain) => {
                    let hash = self.flows.table.hash_plain((&plain, Family::V4), bytes);
                    *glance = Glance { hash, plain: Some(plain), candidate: NONE };
                }
                None => glance.plain = None,
            },
            Some(Family::V6) => self.look_at_v6(bytes, glance),
            None => glance.plain = None,
        }
    }

    #[inline(never)]
    fn look_at_v6(&self, bytes: &[u8], glance: &mut Glance) {
        match Plain::of_v6(bytes) {
            Some(plain) => {
                let hash = self.flows.table.hash_plain((&plain, Family::V6), bytes);
                *glance = Glance { hash, plain: Some(plain), candidate: NONE };
            }
            None => glance.plain = None,
        }
    }

    /// The same of one packet alone, with what the table first comes upon.
    #[inline]
    pub(crate) fn look_at_one(&self, packet: &Packet<'_>, meta: Meta) -> Glance {
        let mut glance = Glance::NONE;
        self.look(packet, meta, &mut glance);
        glance.with_candidate(self)
    }

    /// Takes a packet along its connection, if that simply goes on as it was; the connection. Else nothing has changed.
    #[inline(always)]
    pub(crate) fn go_straight(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        glance: &Glance,
        verdict: &mut Verdict,
    ) -> Result<u32, Search> {
        let Some(plain) = &glance.plain else { return Err(Search::Pending) };
        if glance.candidate == NONE {
            return Err(Search::Done(None));
        }
        let by = (glance.candidate, glance.hash);
        let gone = match plain.family {
            Family::V4 => self.go_straight_by(now, packet, meta, (plain, Family::V4), by, verdict),
            Family::V6 => self.go_straight_v6(now, packet, meta, plain, by, verdict),
        };
        gone.map_err(Search::Done)
    }

    #[inline(never)]
    fn go_straight_v6(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        plain: &Plain,
        by: (u32, u64),
        verdict: &mut Verdict,
    ) -> Result<u32, Option<(u32, Side)>> {
        self.go_straight_by(now, packet, meta, (plain, Family::V6), by, verdict)
    }

    /// A packet in full, with the connection that it is found to belong to.
    #[inline]
    pub(super) fn read(
        &self,
        now: Instant,
        packet: &Packet<'_>,
        meta: Meta,
    ) -> Result<(Parsed, Option<(u32, Side)>), DropReason> {
        let parsed = parse(packet.bytes(), meta.checksum == Checksum::Unverified)?;
        let found = match parsed.shape {
            Shape::Whole | Shape::PortsOnly => {
                self.flows.table.find(self.flows.table.hash(&parsed.tuple), &parsed.tuple, now)
            }
            _ => None,
        };
        Ok((parsed, found))
    }

    /// What becomes of a packet, counted and told.
    #[inline(always)]
    fn conclude(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, glance: &Glance, verdict: &mut Verdict) {
        if let Err(search) = self.go_straight(now, packet, meta, glance, verdict) {
            self.conclude_at_length(now, packet, meta, search, verdict);
        }
    }

    /// The same for a packet that did not go straight.
    #[inline(never)]
    pub(super) fn conclude_at_length(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        search: Search,
        verdict: &mut Verdict,
    ) {
        let read = match search {
            Search::Done(found) => parse(packet.bytes(), false).map(|parsed| (parsed, found)),
            Search::Pending => self.read(now, packet, meta),
        };
        let (decision, parsed) = match &read {
            Ok((parsed, found)) => (self.decide(now, packet, meta, parsed, *found), parsed),
            Err(reason) => (Decision::Drop(*reason), &Parsed::UNKNOWN),
        };
        self.reasons.count(decision);
        self.tell(decision, parsed, verdict);
    }

    /// [`process`](Self::process) on the long way, whatever the packet.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn process_at_length(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
        let now = self.see(now);
        let mut verdict = Verdict::Pass(PassReason::NoService);
        self.conclude_at_length(now, packet, meta, Search::Pending, &mut verdict);
        verdict
    }

    /// A decision as the caller is told it.
    pub(super) fn verdict(&self, decision: Decision, parsed: &Parsed) -> Verdict {
        let mut verdict = Verdict::Pass(PassReason::NoService);
        self.tell(decision, parsed, &mut verdict);
        verdict
    }

    /// The same, written where the caller wants it, field by field: put together elsewhere and moved there it would cost
    /// as much as looking a connection up.
    #[inline]
    fn tell(&self, decision: Decision, parsed: &Parsed, verdict: &mut Verdict) {
        let family = parsed.tuple.family;
        match decision {
            Decision::ToServer { server, connection, method } => {
                let direction = Direction::ToServer;
                let Some((live, id)) = self.servers.live_and_id(server) else {
                    *verdict = self.to_unbound(connection, method, parsed);
                    return;
                };
                let connection = (connection != NONE).then(|| self.flows.table.slab.id(connection));
                let (next_hop, server) = (live.address, Some(id));
                *verdict = Verdict::Forward(Forward { next_hop, direction, method, connection, server });
            }
            Decision::Elsewhere { server, connection } => *verdict = self.to_elsewhere(server, connection),
            Decision::FromServer { server } => {
                *verdict = Verdict::Forward(Forward {
                    next_hop: parsed.tuple.destination.to_ip(family),
                    direction: Direction::ToClient,
                    method: Method::Nat,
                    connection: None,
                    server: Some(self.servers.id(server)),
                });
            }
            Decision::ToClient { connection } => {
                let entry = self.flows.table.slab.get(connection);
                *verdict = Verdict::Forward(Forward {
                    next_hop: parsed.tuple.destination.to_ip(family),
                    direction: Direction::ToClient,
                    method: entry.method(),
                    connection: Some(self.flows.table.slab.id(connection)),
                    server: (entry.server != NONE).then(|| self.servers.id(entry.server)),
                });
            }
            Decision::Reply(reason) => {
                *verdict = Verdict::Reply(Reply { next_hop: parsed.tuple.source.to_ip(family), reason });
            }
            Decision::Relayed { connection, reason } => {
                let entry = self.flows.table.slab.get(connection);
                *verdict = Verdict::Reply(Reply { next_hop: entry.client().to_ip(entry.family()), reason });
            }
            Decision::Pass(reason) => *verdict = Verdict::Pass(reason),
            Decision::Drop(reason) => *verdict = Verdict::Drop(reason),
        }
    }

    #[inline]
    fn decide(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        found: Option<(u32, Side)>,
    ) -> Decision {
        if self.gate(parsed.tuple.family) != Gate::OPEN
            && let Some(decision) = self.at_gate(now, packet.bytes(), meta, parsed, found)
        {
            return decision;
        }
        if let Some(decision) = not_balanced(parsed, meta.hook) {
            return self.unbalanced(now, packet, meta, parsed, decision);
        }
        self.balance(now, packet, meta, parsed, found)
    }

    /// A packet whose flow can be read: of a connection that was found, or the first of one.
    #[inline]
    pub(super) fn balance(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        found: Option<(u32, Side)>,
    ) -> Decision {
        if let Some((slot, Side::Server)) = found {
            return self.reply(now, packet, meta, parsed, slot);
        }
        if self.gate(parsed.tuple.family).contains(Gate::SERVERS)
            && let Some(decision) = self.decide_of_server(now, packet, meta, parsed)
        {
            return decision;
        }
        match found {
            _ if meta.hook == Hook::Forward => Decision::Pass(PassReason::Forwarded),
            Some((slot, _)) => self.request(now, packet, meta, parsed, slot),
            None => self.unknown(now, packet, meta, parsed),
        }
    }

    /// A packet that no connection has the ports of: one may wait for a client's packet from whatever port.
    #[inline(never)]
    fn unknown(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, parsed: &Parsed) -> Decision {
        match self.flows.table.find_waiting(&parsed.tuple, now) {
            Some(slot) => self.request(now, packet, meta, parsed, slot),
            None => self.opening(now, packet, meta, parsed),
        }
    }

    /// What becomes of a packet that is not even looked at, if that is so.
    #[cold]
    pub(super) fn at_gate(
        &self,
        now: Instant,
        bytes: &[u8],
        meta: Meta,
        parsed: &Parsed,
        found: Option<(u32, Side)>,
    ) -> Option<Decision> {
        let gate = self.gate(parsed.tuple.family);
        if gate.contains(Gate::NO_SERVICE) {
            return Some(Decision::Pass(PassReason::NotEnabled));
        }
        if !gate.contains(Gate::BACKUP_ONLY) {
            return None;
        }
        let is_taken = if parsed.shape == Shape::Fragment {
            self.is_part_of_reply(now, bytes, meta, parsed)
        } else if parsed.is_icmp() {
            matches!(
                self.error_course(now, bytes, meta, parsed),
                ErrorCourse::Done(_) | ErrorCourse::Follow { side: Side::Server, .. }
            )
        } else if parsed.shape == Shape::Ipsec {
            matches!(
                self.ipsec_course(now, meta, parsed),
                IpsecCourse::Done(_) | IpsecCourse::Follow { side: Side::Server, .. }
            )
        } else {
            not_balanced(parsed, meta.hook).is_some()
                || meta.hook == Hook::Forward
                || matches!(found, Some((_, Side::Server)))
                || gate.contains(Gate::SERVERS)
                    && !matches!(self.server_course(bytes, meta, parsed), ServerCourse::Nothing)
        };
        (!is_taken).then_some(Decision::Pass(PassReason::BackupOnly))
    }

    /// A packet that is not of a balanced protocol: it may still be about one that is.
    #[cold]
    pub(super) fn unbalanced(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        otherwise: Decision,
    ) -> Decision {
        match parsed.shape {
            Shape::Fragment => self.fragment(now, packet, meta, parsed),
            Shape::Ipsec => self.ipsec(now, packet, meta, parsed),
            _ if parsed.is_icmp() => self.icmp(now, packet, meta, parsed),
            _ => otherwise,
        }
    }

    /// A packet of the client on a connection.
    #[inline(always)]
    pub(super) fn request(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Decision {
        match self.connection_for(slot, parsed) {
            Followed::Keep => self.forward_in(now, packet, meta, parsed, slot),
            course @ (Followed::End | Followed::Shadow) if self.is_watched(packet, meta, parsed, slot) => {
                if course == Followed::End && self.flows.expire(slot, &mut self.servers, now, Gone::ServerGone) {
                    self.offer_busy(now, slot);
                }
                Decision::Drop(DropReason::ServerGone)
            }
            Followed::Drop => {
                self.overhear_client(packet, meta, parsed, slot);
                Decision::Drop(DropReason::ServerGone)
            }
            Followed::CutOff => self.cut_off(now, packet, parsed, slot, Side::Client),
            Followed::Shadow => self.opening(now, packet, meta, parsed),
            Followed::End => {
                // The old connection still counts while a server is chosen, and is gone after the packet.
                let old = self.flows.table.slab.id(slot);
                let decision = self.opening(now, packet, meta, parsed);
                let why = if parsed.is_opening() { Gone::Replaced } else { Gone::ServerGone };
                // It may have gone already, to make room in a full table.
                if let Some(slot) = self.flows.table.slab.find(old) {
                    if self.is_reset_by_host(slot, meta, parsed, decision) {
                        self.overhear_reset(now, slot, parsed.tuple.family);
                    } else if self.flows.expire(slot, &mut self.servers, now, why) {
                        self.offer_busy(now, slot);
                    }
                }
                match decision {
                    Decision::Pass(PassReason::NotAnOpening) => Decision::Pass(PassReason::ConnectionEnded),
                    other => other,
                }
            }
        }
    }

    /// Is the packet that ends a connection passed to the host, which answers with a reset? Where addresses are not
    /// translated that looks like the server's.
    fn is_reset_by_host(&self, slot: u32, meta: Meta, parsed: &Parsed, decision: Decision) -> bool {
        let (destination, family) = (parsed.tuple.destination, parsed.tuple.family);
        // On a connection to a server here, which the packet has opened, the reset is that one's.
        let entry = self.flows.table.slab.get(slot);
        matches!(decision, Decision::Pass(reason) if reason != PassReason::LocalServer)
            && parsed.is_tcp()
            && !parsed.tcp_flags.rst()
            && entry.method() != Method::Nat
            && !self.is_cut_off(entry.server)
            && !meta.from_host
            && (self.settings.local.is_empty() || self.is_own(destination, family))
    }

    /// A reset of the host's leaves before the kernel has ended the connection: it lives on, closed.
    fn overhear_reset(&mut self, now: Instant, slot: u32, family: Family) {
        let len = match family {
            Family::V4 => ipv4::MIN_LEN,
            Family::V6 => ipv6::LEN,
        };
        let entry = self.flows.table.slab.get_mut(slot);
        entry.flags.clear(Flags::NO_OUTPUT);
        let (server, state) =
            (entry.server, tcp::next(entry.state, Input::Server, TcpFlags::RST, self.settings.secure_tcp));
        entry.timeout_ms = self.settings.timeouts_of(server, &self.servers).tcp_ms(state);
        change(entry, state, tcp::is_active(state), false, &mut self.servers);
        self.flows.touch(slot, now);
        self.count_out(server, len + transport::TCP_MIN_LEN);
    }

    /// What becomes of the connection that a client's packet belongs to.
    #[inline]
    pub(super) fn connection_for(&self, slot: u32, parsed: &Parsed) -> Followed {
        let entry = self.flows.table.slab.get(slot);
        if parsed.is_opening() && self.is_rescheduled(slot) {
            return if entry.controlled == 0 { Followed::End } else { Followed::Shadow };
        }
        if is_gone(entry.server, &self.servers) {
            return self.followed_nowhere(slot, parsed);
        }
        Followed::Keep
    }

    /// The server has left its service, or was drained up to its deadline.
    #[cold]
    fn followed_nowhere(&self, slot: u32, parsed: &Parsed) -> Followed {
        let entry = self.flows.table.slab.get(slot);
        if self.is_cut_off(entry.server) {
            return match (parsed.is_opening(), entry.controlled) {
                (false, _) => Followed::CutOff,
                (true, 0) => Followed::End,
                (true, _) => Followed::Shadow,
            };
        }
        if self.settings.tunables.expire_nodest_conn == 0 { Followed::Drop } else { Followed::End }
    }

    /// Whether a packet that opens a connection makes a new one although there is one.
    fn is_rescheduled(&self, slot: u32) -> bool {
        let entry = self.flows.table.slab.get(slot);
        let tunables = &self.settings.tunables;
        let quiesced = entry.server != NONE && self.servers.live(entry.server).weight == 0;
        if quiesced && (tunables.expire_nodest_conn != 0 || self.has_left_draining_server(entry)) {
            return true;
        }
        if tunables.conn_reuse_mode == 0 || entry.control != NONE {
            return false;
        }
        match Protocol::from_number(entry.protocol()) {
            Some(Protocol::Tcp) => {
                let half_seen = entry.state == tcp::FIN_WAIT && entry.flags.contains(Flags::NO_OUTPUT);
                matches!(entry.state, tcp::TIME_WAIT | tcp::CLOSE) || tunables.conn_reuse_mode & 2 != 0 && half_seen
            }
            Some(Protocol::Sctp) => entry.state == sctp::CLOSED,
            _ => false,
        }
    }

    /// A packet without a connection.
    #[inline(never)]
    pub(super) fn opening(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, parsed: &Parsed) -> Decision {
        match self.schedule(now, meta, parsed, packet.bytes()) {
            Ok(Scheduled::Connection(slot)) => self.forward_in(now, packet, meta, parsed, slot),
            Ok(Scheduled::OnePacket(entry)) => self.forward_once(now, packet, meta, parsed, entry),
            Err(refusal) => self.refuse(packet, parsed, refusal),
        }
    }
}

/// True for the server of a connection that is in no service any more, or was drained up to its deadline.
#[inline]
pub(super) fn is_gone(server: u32, servers: &Servers) -> bool {
    server != NONE && servers.live(server).standing() != Standing::IN_SERVICE
}

/// What becomes of packets that no connection can be found for.
#[inline]
pub(super) fn not_balanced(parsed: &Parsed, hook: Hook) -> Option<Decision> {
    match parsed.shape {
        Shape::Whole | Shape::PortsOnly | Shape::FirstPart => None,
        Shape::Unsupported | Shape::Ipsec => Some(Decision::Pass(PassReason::UnsupportedProtocol)),
        Shape::Fragment => Some(Decision::Pass(PassReason::Fragment)),
        Shape::NoPorts if hook == Hook::Forward => Some(Decision::Pass(PassReason::Forwarded)),
        Shape::NoPorts => Some(Decision::Drop(DropReason::TruncatedTransport)),
    }
}
