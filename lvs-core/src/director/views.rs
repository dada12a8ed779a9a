//! What there is to show: services, connections, counts, and the texts of them that operators know.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Director;
use crate::conn::ConnId;
use crate::conn::entry::Flags;
use crate::conn::id::NONE;
use crate::control::{
    ConnectionView, Content, EngineView, Listing, ServerView, ServiceView, TimeoutsView, listing, proc, save,
};
use crate::error::ControlError;
use crate::persist;
use crate::proto::state_name;
use crate::service::service::Service;
use crate::service::{ServerId, ServiceId};
use crate::stats::{Counters, Rates};

impl Director {
    /// The services, each with its servers in list order. The services themselves come in no particular order that
    /// lasts; listings sort them.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -t 192.0.2.10:80\n-a -t 192.0.2.10:80 -r 10.0.0.101 -m -w 5")?;
    /// assert_eq!(director.services()[0].servers[0].spec.weight, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        self.control.services.iter().map(|service| self.service_view(service)).collect()
    }

    /// The service of an id, with its servers.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServiceId, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// assert_eq!(director.service(web).unwrap().spec.scheduler, "wlc");
    /// assert_eq!(director.service(ServiceId::from_parts(7, 0)), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<ServiceView> {
        let slot = self.control.services.slot(id)?;
        Some(self.service_view(self.control.services.get(slot)))
    }

    fn service_view(&self, service: &Service) -> ServiceView {
        ServiceView {
            id: service.id,
            spec: service.spec.clone(),
            stats: service.estimator.reported(),
            rates: service.estimator.rates(),
            servers: service.list.iter().map(|&slot| self.server_view(slot)).collect(),
        }
    }

    fn server_view(&self, slot: u32) -> ServerView {
        let (server, live) = (self.servers.get(slot), self.servers.live(slot));
        ServerView {
            id: self.servers.id(slot),
            spec: server.spec,
            active: live.active,
            inactive: live.inactive(),
            persistent: live.persistent,
            state: self.server_state(slot),
            stats: server.estimator.reported(),
            rates: server.estimator.rates(),
        }
    }

    /// A real server of an id, as long as it is in a service or connections point to it.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?).weight(3))?;
    /// let view = director.server(server).expect("added a moment ago");
    /// assert_eq!((view.spec.weight, view.active), (3, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<ServerView> {
        self.servers.slot(id).map(|slot| self.server_view(slot))
    }

    /// What a server has counted up to this moment, not only up to the latest two-second tick, and never zeroed.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -f 5 -s rr\n-a -f 5 -r 10.0.0.101 -m")?;
    /// let server = director.services()[0].servers[0].id;
    /// assert_eq!(director.server_counters(server).map(|counters| counters.in_packets), Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn server_counters(&self, id: ServerId) -> Option<Counters> {
        self.servers.slot(id).and_then(|slot| self.flows.counters.get(slot as usize).copied())
    }

    /// The connections and templates, in no particular order.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config::with_seed(7))?;
    /// assert_eq!(director.connections().count(), 0);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView> + '_ {
        self.connections_from(0)
    }

    /// Those from a place of the table on, to take a listing in parts: each part begins behind the
    /// [place](ConnId::index) of the last one's last. What begins or ends in between is told or not.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config::with_seed(7))?;
    /// let mut place = 0;
    /// while let Some(last) = director.connections_from(place).take(1000).last() {
    ///     place = last.id.index() + 1;
    ///     // packets are processed in between
    /// }
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn connections_from(&self, place: usize) -> impl Iterator<Item = ConnectionView> + '_ {
        let slab = &self.flows.table.slab;
        slab.slots_from(place).filter(|&slot| !slab.get(slot).is_over(self.now)).map(|slot| self.view(slot))
    }

    /// The connection of an id, if it still exists.
    #[must_use]
    pub fn connection(&self, id: ConnId) -> Option<ConnectionView> {
        let slot = self.flows.table.slab.find(id)?;
        (!self.flows.table.slab.get(slot).is_over(self.now)).then(|| self.view(slot))
    }

    fn view(&self, slot: u32) -> ConnectionView {
        let entry = self.flows.table.slab.get(slot);
        let family = entry.family();
        ConnectionView {
            id: self.flows.table.slab.id(slot),
            server_id: (entry.server != NONE).then(|| self.servers.id(entry.server)),
            protocol: entry.protocol(),
            client: SocketAddr::new(entry.client().to_ip(family), entry.client_port),
            target: SocketAddr::new(entry.shown_target().to_ip(family), entry.virtual_port),
            server: SocketAddr::new(entry.server_address().to_ip(entry.server_family()), entry.server_port),
            state: state_name(entry),
            expires_seconds: entry.expires.since(self.now).as_secs(),
            expires: entry.expires,
            timeout: Duration::from_millis(u64::from(entry.timeout_ms)),
            engine: self.engine_view(slot),
            is_template: entry.is_template(),
            synced: entry.flags.contains(Flags::SYNCED),
        }
    }

    fn engine_view(&self, slot: u32) -> Option<EngineView> {
        let data = self.flows.engine_data(slot);
        let text = || data.iter().copied().map(char::from).collect();
        (!data.is_empty()).then(|| EngineView { name: String::from(persist::SIP), data: text() })
    }

    /// How many connections and templates there are, those included whose deadline has come and that
    /// [`advance`](Director::advance) has not taken away yet.
    #[must_use]
    pub const fn connection_count(&self) -> usize {
        self.flows.table.slab.len()
    }

    /// Room for so many.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.flows.table.slab.capacity()
    }

    /// Bytes of memory that connections and fragments take, reserved when the director was built: table, index, timers, the
    /// records of first parts; and what persistence engines keep, reserved with the first service that has one.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.flows.memory() + self.fragments.memory()
    }

    /// How often each verdict was given.
    #[must_use]
    pub const fn reasons(&self) -> &super::ReasonCounts {
        &self.reasons
    }

    /// Counters of the whole director, as of the latest two-second tick.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.control.estimator.reported()
    }

    /// Rates of the whole director.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        self.control.estimator.rates()
    }

    /// The rules, as `ipvsadm -S -n` writes them. [`load`](Director::load) reads them back, as `ipvsadm -R` would:
    /// thresholds are not saved, list orders become those of the text, and what only the typed calls can make (a
    /// scheduler of one's own, a port-0 service without persistence, a mark above 2147483647) is refused.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -f 5 -s rr -p 60")?;
    /// let saved = director.save();
    /// director.clear();
    /// director.load(&saved)?;
    /// assert_eq!(director.save(), "-A -f 5 -s rr -p 60\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn save(&self) -> String {
        save::save(&self.services())
    }

    /// A listing, as `ipvsadm -L -n` prints it, to the character.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Listing};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -t 192.0.2.10:80 -s rr")?;
    /// assert!(director.listing(&Listing::default())?.ends_with("TCP  192.0.2.10:80 rr\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`] if one service is to be listed and does not exist.
    pub fn listing(&self, wanted: &Listing) -> Result<String, ControlError> {
        match wanted.content {
            Content::Services => Ok(listing::listing(&self.listed(wanted)?, wanted)),
            Content::Connections => Ok(listing::connections(&self.connections().collect::<Vec<_>>(), wanted)),
            Content::Timeouts => {
                let timeouts = &self.settings.timeouts;
                let view = TimeoutsView { tcp: timeouts.tcp(), tcp_fin: timeouts.tcp_fin(), udp: timeouts.udp() };
                Ok(listing::timeouts(&view))
            }
            Content::Daemons => Ok(listing::daemons(&self.daemons())),
        }
    }

    fn listed(&self, wanted: &Listing) -> Result<Vec<ServiceView>, ControlError> {
        let Some(key) = wanted.service else { return Ok(self.services()) };
        let slot = self.control.services.find(&key).ok_or(ControlError::NoSuchService)?;
        Ok(alloc::vec![self.service_view(self.control.services.get(slot))])
    }

    /// What the kernel shows in a file of `/proc/net`: `ip_vs`, `ip_vs_conn`, `ip_vs_conn_sync`, `ip_vs_stats`,
    /// `ip_vs_stats_percpu` (a director counts as one processor) or `ip_vs_app`; `None` for other names.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config::with_seed(7))?;
    /// assert!(director.proc_file("ip_vs_conn").unwrap().starts_with("Pro FromIP"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn proc_file(&self, name: &str) -> Option<String> {
        match name {
            "ip_vs" => Some(proc::services(&self.services())),
            "ip_vs_conn" => Some(proc::connections(&self.connections().collect::<Vec<_>>())),
            "ip_vs_conn_sync" => Some(proc::synced_connections(&self.connections().collect::<Vec<_>>())),
            "ip_vs_stats" => Some(proc::stats(&self.counters(), &self.rates())),
            "ip_vs_stats_percpu" => Some(proc::stats_by_processor(&self.total(), &self.counters(), &self.rates())),
            "ip_vs_app" => Some(proc::helpers(&self.helper_users())),
            _ => None,
        }
    }

    /// The ports with a helper, and how many connections each has.
    fn helper_users(&self) -> Vec<(u16, usize)> {
        let slab = &self.flows.table.slab;
        let users = |port: u16| {
            let helped = |slot: &u32| slab.get(*slot).flags.contains(Flags::HELPED);
            slab.slots().filter(helped).filter(|&slot| slab.get(slot).virtual_port == port).count()
        };
        self.ftp_ports().map(|port| (port, users(port))).collect()
    }
}
