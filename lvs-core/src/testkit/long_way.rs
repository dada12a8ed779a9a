//! The long way of a packet, for comparing the straight one with it.

use crate::config::Meta;
use crate::director::Director;
use crate::time::Instant;
use crate::verdict::Verdict;
use crate::wire::Packet;

/// [`Director::process`] with nothing left out because a packet's connection goes on as it was. The verdict is the same, and so
/// is what becomes of the packet and of the director.
///
/// ```
/// use lvs_core::testkit::{long_way::process_at_length, packets};
/// use lvs_core::{Config, Director, Instant, Meta, Packet};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m")?;
/// let [mut first, mut second] = [(); 2].map(|()| packets::udp("198.51.100.9:4000", "192.0.2.10:53").build());
/// let straight = director.process(Instant::ZERO, &mut Packet::whole(&mut first), Meta::default());
/// let long = process_at_length(&mut director, Instant::ZERO, &mut Packet::whole(&mut second), Meta::default());
/// assert_eq!((straight, first), (long, second));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn process_at_length(director: &mut Director, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
    director.process_at_length(now, packet, meta)
}
