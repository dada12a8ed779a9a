//! The control plane: every call as of a [`Director`], with all shards in it.
//!
//! What a call does, and what its errors mean, is said there; each stops all threads for as long as it takes. Of what has no
//! call of its own here [`with`](SharedDirector::with) does all.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::SharedDirector;
use crate::config::{Meta, Path, Tunables};
use crate::conn::ConnId;
use crate::control::{Command, ConnectionView, Content, Listing, ServerView, ServiceView, parse_line};
use crate::director::{Applied, Director, Drain, Explanation, Filter, ReasonCounts};
use crate::error::{ApplyError, ControlError, RuleError};
use crate::event::Event;
use crate::service::{ServerId, ServerSpec, ServiceId, ServiceKey, ServiceSpec};
use crate::stats::Counters;
use crate::time::Instant;
use crate::wire::Packet;

/// Rules.
impl SharedDirector {
    /// Carries out one line of `ipvsadm` and returns what it would print, as [`Director::run`].
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.run("ipvsadm -A -t 192.0.2.10:80 -s rr")?;
    /// assert_eq!(director.run("-S -n")?, "-A -t 192.0.2.10:80 -s rr\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where the line goes wrong, or what speaks against it; then nothing has changed.
    pub fn run(&self, line: &str) -> Result<String, RuleError> {
        match parse_line(line)? {
            Command::List(listing) if listing.content == Content::Connections => {
                self.with(|director| director.run(line))
            }
            _ => self.change(|director| director.run(line)),
        }
    }

    /// Carries out a text of `ipvsadm` lines, as [`Director::load`]: all of it between two packets.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1:80 -m -w 3")?;
    /// assert_eq!(director.services()[0].servers[0].spec.weight, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If a line cannot be read, none is carried out. If one is refused, those before it have been carried out, and
    /// that one and those after it have not.
    pub fn load(&self, text: &str) -> Result<(), RuleError> {
        self.change(|director| director.load(text))
    }

    /// Brings the rules to a wanted configuration, as [`Director::apply`]: all of it between two packets.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let rules = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1:80 -m";
    /// assert_eq!(director.apply(rules)?.services_added.len(), 1);
    /// assert!(director.apply(rules)?.is_unchanged());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Director::apply`]; then nothing has changed.
    pub fn apply(&self, text: &str) -> Result<Applied, RuleError> {
        self.change(|director| director.apply(text))
    }

    /// The same for plain values, as [`Director::apply_specs`].
    ///
    /// # Errors
    /// As for [`Director::apply_specs`]; then nothing has changed.
    pub fn apply_specs(&self, wanted: &[(ServiceSpec, Vec<ServerSpec>)]) -> Result<Applied, ApplyError> {
        self.change(|director| director.apply_specs(wanted))
    }

    /// The service of a key, as [`Director::find_service`].
    #[must_use]
    pub fn find_service(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.home.lock().director.find_service(key)
    }

    /// The server of an address and port in a service, as [`Director::find_server`].
    #[must_use]
    pub fn find_server(&self, service: ServiceId, address: SocketAddr) -> Option<ServerId> {
        self.home.lock().director.find_server(service, address)
    }

    /// Adds a service, as [`Director::add_service`].
    ///
    /// ```
    /// use lvs_core::{Config, ServerSpec, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("wlc"))?;
    /// director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?).weight(2))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn add_service(&self, spec: ServiceSpec) -> Result<ServiceId, ControlError> {
        self.change(|director| director.add_service(spec))
    }

    /// Changes a service, as [`Director::edit_service`].
    ///
    /// ```
    /// use lvs_core::{Config, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.edit_service(ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("sh"))?;
    /// assert_eq!(director.save(), "-A -t 192.0.2.10:80 -s sh\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn edit_service(&self, spec: ServiceSpec) -> Result<ServiceId, ControlError> {
        self.change(|director| director.edit_service(spec))
    }

    /// Removes a service and its servers, as [`Director::remove_service`].
    ///
    /// ```
    /// use lvs_core::{Config, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.remove_service(web)?;
    /// assert!(director.remove_service(web).is_err(), "the id is stale");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`]; then nothing has changed.
    pub fn remove_service(&self, service: ServiceId) -> Result<(), ControlError> {
        self.change(|director| director.remove_service(service))
    }

    /// Removes all services, as [`Director::clear`].
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.run("-A -t 192.0.2.10:80")?;
    /// director.clear();
    /// assert!(director.services().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) {
        self.change(Director::clear);
    }

    /// Adds a server to a service, as [`Director::add_server`]; see [`add_service`](Self::add_service).
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn add_server(&self, service: ServiceId, spec: ServerSpec) -> Result<ServerId, ControlError> {
        self.change(|director| director.add_server(service, spec))
    }

    /// Changes a server, as [`Director::edit_server`].
    ///
    /// ```
    /// use lvs_core::{Config, ServerSpec, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let spec = ServerSpec::nat("10.0.0.101:8080".parse()?);
    /// director.add_server(web, spec)?;
    /// // Quiesced: it keeps its connections and gets no new ones.
    /// director.edit_server(web, spec.weight(0))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn edit_server(&self, service: ServiceId, spec: ServerSpec) -> Result<ServerId, ControlError> {
        self.change(|director| director.edit_server(service, spec))
    }

    /// Removes a server from its service, as [`Director::remove_server`]. No packet goes to it from then on, whatever
    /// the shard; with `expire_nodest_conn` its connections are gone, too.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, ServerSpec, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// director.remove_server(web, "10.0.0.101:8080".parse()?)?;
    /// assert_eq!(director.remove_server(web, "10.0.0.101:8080".parse()?), Err(ControlError::NoSuchServer));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`], [`ControlError::NoSuchServer`]; then nothing has changed.
    pub fn remove_server(&self, service: ServiceId, address: SocketAddr) -> Result<(), ControlError> {
        self.change(|director| director.remove_server(service, address))
    }

    /// Tells the way to an address, as [`Director::set_path`].
    ///
    /// ```
    /// use lvs_core::{Config, Path, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.set_path("10.0.0.101".parse()?, Path::new(1400).tunnel_source("10.0.0.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_path(&self, address: IpAddr, path: Path) {
        self.change(|director| director.set_path(address, path));
    }

    /// Changes a tunable by its name, as [`Director::set_tunable`].
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.set_tunable("expire_nodest_conn", "1")?;
    /// assert_eq!(director.tunables().expire_nodest_conn, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchTunable`], [`ControlError::TunableRange`]; then nothing has changed.
    pub fn set_tunable(&self, name: &str, value: &str) -> Result<(), ControlError> {
        self.change(|director| director.set_tunable(name, value))
    }

    /// The tunables, as [`Director::tunables`].
    #[must_use]
    pub fn tunables(&self) -> Tunables {
        self.home.lock().director.tunables().clone()
    }

    /// The rules as text, as [`Director::save`].
    #[must_use]
    pub fn save(&self) -> String {
        self.home.lock().director.save()
    }
}

/// Operation.
impl SharedDirector {
    /// Takes a server out of service gently, as [`Director::drain`]: its connections go on, at whatever shard, and it gets
    /// no new ones.
    ///
    /// ```
    /// use lvs_core::{Config, Drain, ServerSpec, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// director.drain(server, Drain::new().then_remove())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchServer`]; then nothing has changed.
    pub fn drain(&self, server: ServerId, how: Drain) -> Result<(), ControlError> {
        self.change(|director| director.drain(server, how))
    }

    /// Puts a draining server back into service, as [`Director::undrain`].
    ///
    /// ```
    /// use lvs_core::{Config, Drain, ServerSpec, ServerState, ServiceSpec, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// director.drain(server, Drain::new())?;
    /// director.undrain(server)?;
    /// assert_eq!(director.services()[0].servers[0].state, ServerState::Active);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchServer`]; then nothing has changed.
    pub fn undrain(&self, server: ServerId) -> Result<(), ControlError> {
        self.change(|director| director.undrain(server))
    }

    /// Ends connections before their time, those of all shards, as [`Director::flush`]; returns how many.
    ///
    /// ```
    /// use lvs_core::{Config, Filter, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// assert_eq!(director.flush(&Filter::all().client("198.51.100.0".parse()?, 24))?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Director::flush`]; then nothing has changed.
    pub fn flush(&self, filter: &Filter) -> Result<usize, ControlError> {
        self.change_state(|director| director.flush(filter))
    }

    /// What happened since the last call, oldest first, as [`Director::poll_event`]. Takes the home's lock alone.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config { events: 1000, ..Config::with_seed(7) }, 2)?;
    /// assert_eq!(director.poll_event(), None);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn poll_event(&self) -> Option<Event> {
        self.home.lock().director.poll_event()
    }

    /// How many events found no room and were lost, as [`Director::missed_events`]. Takes the home's lock alone.
    ///
    /// ```
    /// use lvs_core::{Config, Instant, Meta, Packet, SharedDirector};
    /// use lvs_core::testkit::packets;
    ///
    /// let director = SharedDirector::new(Config { events: 1, ..Config::with_seed(7) }, 2)?;
    /// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m")?;
    /// for client in ["198.51.100.1:5353", "198.51.100.2:5353"] {
    ///     let mut query = packets::udp(client, "192.0.2.10:53").build();
    ///     let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    /// }
    /// assert!(director.poll_event().is_some());
    /// assert_eq!(director.missed_events(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn missed_events(&self) -> u64 {
        self.home.lock().director.missed_events()
    }

    /// Where a packet would go, and why, as [`Director::explain`]; nothing that could be seen is changed.
    ///
    /// ```
    /// use lvs_core::{Config, Instant, Meta, Packet, PassReason, SharedDirector, Verdict};
    /// use lvs_core::testkit::packets;
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let mut syn = packets::tcp("198.51.100.9:40000", "192.0.2.10:80").syn().build();
    /// let explained = director.explain(Instant::ZERO, &Packet::whole(&mut syn), Meta::default());
    /// assert_eq!(explained.verdict, Some(Verdict::Pass(PassReason::NotEnabled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, now: Instant, packet: &Packet<'_>, meta: Meta) -> Explanation {
        let mut all = self.all();
        let slots = all.home.director.subjects(now, packet, meta);
        for slot in slots.into_iter().flatten() {
            all.bring_home(slot);
        }
        all.home.director.explain(now, packet, meta)
    }

    /// Stops all threads, brings all connections home and hands over the [`Director`]: for what has no call of its own
    /// here. Afterwards connections go back to their shards as their packets come.
    ///
    /// No call of this `SharedDirector` can be made meanwhile, by this thread least of all: it would wait for itself.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.with(|director| director.set_local_addresses(vec!["192.0.2.10".parse().unwrap()]));
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn with<R>(&self, act: impl FnOnce(&mut Director) -> R) -> R {
        let mut all = self.all().whole();
        let answer = act(&mut all.home.director);
        self.home.publish(&mut all.home);
        self.rules.fetch_add(1, super::lock::Ordering::AcqRel);
        answer
    }
}

/// What there is to see.
impl SharedDirector {
    /// The services, each with its servers, as [`Director::services`].
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        self.home.lock().director.services()
    }

    /// A real server of an id, as [`Director::server`].
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<ServerView> {
        self.home.lock().director.server(id)
    }

    /// What a server has counted up to this moment, at all shards, as [`Director::server_counters`].
    #[must_use]
    pub fn server_counters(&self, id: ServerId) -> Option<Counters> {
        self.see(|director| director.server_counters(id))
    }

    /// The connections and templates of all shards, as [`Director::connections`]. Brings all of them home: where there are
    /// millions, not for every second.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// assert!(director.connections().is_empty());
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.see_whole(|director| director.connections().collect())
    }

    /// The connection of an id, at whatever shard, as [`Director::connection`]. A connection keeps its id wherever it goes.
    #[must_use]
    pub fn connection(&self, id: ConnId) -> Option<ConnectionView> {
        let mut all = self.all();
        let slot = all.home.director.slot_of(id)?;
        all.bring_home(slot);
        all.home.director.connection(id)
    }

    /// How many connections and templates there are, as [`Director::connection_count`].
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.home.lock().director.connection_count()
    }

    /// How many of them are lent to each shard at this moment.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// assert_eq!(director.lent(), [0, 0]);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn lent(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| shard.0.lock().lent()).collect()
    }

    /// Room for so many, as [`Director::capacity`]: for all shards together.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.home.lock().director.capacity()
    }

    /// Bytes of memory that connections and fragments take, as [`Director::memory`]. To that of a director comes room for
    /// the copies: of all connections, a quarter more, and 160 bytes for each.
    #[must_use]
    pub fn memory(&self) -> usize {
        let home = self.home.lock().director.memory();
        home + self.shards.iter().map(|shard| shard.0.lock().memory()).sum::<usize>()
    }

    /// A listing, as [`Director::listing`].
    ///
    /// ```
    /// use lvs_core::{Config, Listing, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.run("-A -t 192.0.2.10:80 -s rr")?;
    /// assert!(director.listing(&Listing::default())?.ends_with("TCP  192.0.2.10:80 rr\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`] if one service is to be listed and does not exist.
    pub fn listing(&self, wanted: &Listing) -> Result<String, ControlError> {
        match wanted.content {
            Content::Connections => self.see_whole(|director| director.listing(wanted)),
            _ => self.see(|director| director.listing(wanted)),
        }
    }

    /// How often each verdict was given, at all shards, as [`Director::reasons`].
    ///
    /// ```
    /// use lvs_core::{Config, DropReason, Instant, Meta, Packet, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut [0xff; 3]), Meta::default());
    /// assert_eq!(director.reasons().dropped(DropReason::NotIp), 1);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn reasons(&self) -> ReasonCounts {
        self.see(|director| director.reasons().clone())
    }

    /// Counters of the whole director, as of the latest two-second tick, as [`Director::counters`].
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.home.lock().director.counters()
    }

    /// What was counted, as Prometheus text, as [`Director::metrics`].
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// assert!(director.metrics().contains("lvs_connections 0\n"));
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> String {
        self.see(Director::metrics)
    }
}

impl super::All<'_> {
    /// Brings one connection home.
    fn bring_home(&mut self, slot: u32) {
        if let Some(shard) = self.home.director.lent_to(slot)
            && let Some(shard) = self.shards.get_mut(shard as usize)
        {
            shard.hand_back(&mut self.home, slot);
        }
    }
}
