//! Telling what happened.

use super::Director;
use crate::event::Event;

impl Director {
    /// What happened since the last call, oldest first; `None` if that is all.
    ///
    /// Ask again after every call that takes packets, time or commands. Without [`Config::events`](crate::Config::events)
    /// nothing is told.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Event, Gone, Instant, Meta, Packet};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config { events: 1000, ..Config::with_seed(7) })?;
    /// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m")?;
    /// let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    /// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    /// while director.advance(Instant::from_secs(301), 1000).more {}
    ///
    /// assert!(matches!(director.poll_event(), Some(Event::Made(c)) if c.client.port() == 5353));
    /// assert!(matches!(director.poll_event(), Some(Event::Gone(_, Gone::Expired))));
    /// assert_eq!((director.poll_event(), director.missed_events()), (None, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_event(&mut self) -> Option<Event> {
        self.flows.events.pop()
    }

    /// How many events found no room and were lost.
    #[must_use]
    pub const fn missed_events(&self) -> u64 {
        self.flows.events.missed()
    }
}
