//! Figures as monitoring wants them: the Prometheus text format, version 0.0.4.
//!
//! Owns: names, labels and order of the figures. They are part of the library's interface: names and labels stay, new ones
//! may come.

use alloc::string::String;
use core::fmt::{self, Write};
use core::net::SocketAddr;

use super::Director;
use crate::addr::Family;
use crate::service::ServiceKey;
use crate::service::server::Live;
use crate::service::service::Service;
use crate::stats::Counters;
use crate::verdict::{DropReason, PassReason, ReplyReason};

/// A family of figures: its name, what it is, and whether it only grows.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: "counter" }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: "gauge" }
}

/// In the order of [`Counters`].
const OF_SERVICE: [Metric; 5] = [
    counter("lvs_service_connections_total", "Connections scheduled."),
    counter("lvs_service_in_packets_total", "Packets from clients."),
    counter("lvs_service_out_packets_total", "Packets to clients that passed through the director."),
    counter("lvs_service_in_bytes_total", "Bytes from clients."),
    counter("lvs_service_out_bytes_total", "Bytes to clients that passed through the director."),
];

const OF_SERVER: [Metric; 5] = [
    counter("lvs_server_connections_total", "Connections scheduled."),
    counter("lvs_server_in_packets_total", "Packets from clients."),
    counter("lvs_server_out_packets_total", "Packets to clients that passed through the director."),
    counter("lvs_server_in_bytes_total", "Bytes from clients."),
    counter("lvs_server_out_bytes_total", "Bytes to clients that passed through the director."),
];

type Gauge = (Metric, fn(&Live) -> u32);

const WEIGHT: Metric =
    gauge("lvs_server_weight", "Weight in force: 0 while the server is drained, a share of it while it grows.");

const STATE_OF_SERVER: [Gauge; 5] = [
    (gauge("lvs_server_active_connections", "Connections in an active state."), |live| live.active),
    (gauge("lvs_server_inactive_connections", "Connections that are not active."), Live::inactive),
    (gauge("lvs_server_persistent_connections", "Persistence templates."), |live| live.persistent),
    (gauge("lvs_server_overloaded", "1 if the upper threshold is reached."), |live| u32::from(live.is_overloaded())),
    (gauge("lvs_server_draining", "1 if the server is drained."), |live| u32::from(live.is_draining())),
];

impl Director {
    /// Figures in the Prometheus text format: counters of services, servers and verdicts, and the state of servers and of
    /// the table.
    ///
    /// Counters are those of this moment, not of the latest two-second tick that listings show, and `ipvsadm -Z` does not
    /// set them back: they only grow, as long as the service or server exists. Labels are unique within a name: of a
    /// service its `protocol`, `address` and `port`, or its firewall `mark`, and its `family`; of a server the same and
    /// `server` and `server_port`. Services that want names of their own have them from whoever reads this.
    ///
    /// | name | labels | |
    /// |---|---|---|
    /// | `lvs_service_info` | service, `scheduler` | always 1 |
    /// | `lvs_service_servers` | service | servers there are |
    /// | `lvs_service_connections_total`, `..in_packets_total`, `..out_packets_total`, `..in_bytes_total`, `..out_bytes_total` | service | those of removed servers included |
    /// | `lvs_server_connections_total`, and so on | service, server | |
    /// | `lvs_server_weight`, `..active_connections`, `..inactive_connections`, `..persistent_connections`, `..overloaded`, `..draining` | service, server | |
    /// | `lvs_packets_total` | `verdict`, `reason` | every packet, under one reason |
    /// | `lvs_connections`, `lvs_connections_capacity`, `lvs_memory_bytes` | | places of the table that are taken, that there are, and their memory |
    /// | `lvs_events_waiting`, `lvs_events_missed_total` | | |
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -t 192.0.2.10:80 -s wlc\n-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3")?;
    /// let text = director.metrics();
    /// let wanted = "lvs_server_weight{protocol=\"tcp\",address=\"192.0.2.10\",port=\"80\",family=\"ipv4\",\
    ///               server=\"10.0.0.1\",server_port=\"8080\"} 3\n";
    /// assert!(text.contains(wanted), "{text}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        self.write_metrics(&mut text).expect("a string takes everything");
        text
    }

    /// The same, written piece by piece: with many services the text is long.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config::with_seed(7))?;
    /// let mut text = String::new();
    /// director.write_metrics(&mut text)?;
    /// assert_eq!(text, director.metrics());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_metrics(&self, out: &mut impl Write) -> fmt::Result {
        let info = gauge("lvs_service_info", "A service and its scheduler.");
        self.of_services(out, &info, |out, service| {
            writeln!(out, "{{{},scheduler=\"{}\"}} 1", Labels(service.key()), Escaped(service.scheduler_name()))
        })?;
        let servers = gauge("lvs_service_servers", "Servers of the service.");
        self.of_services(out, &servers, |out, service| {
            writeln!(out, "{{{}}} {}", Labels(service.key()), service.list.len())
        })?;
        for (column, metric) in OF_SERVICE.iter().enumerate() {
            self.of_services(out, metric, |out, service| {
                let total = self.service_total(service.id.slot).row();
                writeln!(out, "{{{}}} {}", Labels(service.key()), total[column])
            })?;
        }
        for (column, metric) in OF_SERVER.iter().enumerate() {
            self.of_servers(out, metric, |slot| self.counted(slot).row()[column])?;
        }
        self.write_weights(out)?;
        for (metric, value) in &STATE_OF_SERVER {
            self.of_servers(out, metric, |slot| u64::from(value(self.servers.live(slot))))?;
        }
        self.write_verdicts(out)?;
        self.write_table(out)
    }

    fn counted(&self, server: u32) -> Counters {
        self.flows.counters.get(server as usize).copied().unwrap_or_default()
    }

    fn of_services<W: Write>(
        &self,
        out: &mut W,
        metric: &Metric,
        write: impl Fn(&mut W, &Service) -> fmt::Result,
    ) -> fmt::Result {
        head(out, metric)?;
        self.control.services.iter().try_for_each(|service| {
            out.write_str(metric.name)?;
            write(out, service)
        })
    }

    fn of_servers(&self, out: &mut impl Write, metric: &Metric, value: impl Fn(u32) -> u64) -> fmt::Result {
        head(out, metric)?;
        for service in self.control.services.iter() {
            for &slot in &service.list {
                self.of_server(out, metric, service, slot, value(slot))?;
            }
        }
        Ok(())
    }

    fn of_server(
        &self,
        out: &mut impl Write,
        metric: &Metric,
        service: &Service,
        slot: u32,
        value: impl fmt::Display,
    ) -> fmt::Result {
        let labels = ServerLabels(self.servers.spec(slot).address);
        writeln!(out, "{}{{{},{labels}}} {value}", metric.name, Labels(service.key()))
    }

    /// Where a service has a slow start its scheduler sees all weights many times over; here they are as rules have them.
    fn write_weights(&self, out: &mut impl Write) -> fmt::Result {
        head(out, &WEIGHT)?;
        for service in self.control.services.iter() {
            let scale = f64::from(self.weight_scale(service));
            for &slot in &service.list {
                let weight = f64::from(self.servers.live(slot).weight) / scale;
                self.of_server(out, &WEIGHT, service, slot, weight)?;
            }
        }
        Ok(())
    }

    fn write_verdicts(&self, out: &mut impl Write) -> fmt::Result {
        head(out, &counter("lvs_packets_total", "Packets by verdict and reason."))?;
        let reasons = self.reasons();
        let mut row = |verdict: &str, reason: &str, count: u64| {
            writeln!(out, "lvs_packets_total{{verdict=\"{verdict}\",reason=\"{reason}\"}} {count}")
        };
        row("forward", "forward", reasons.forwarded())?;
        PassReason::ALL.iter().try_for_each(|&reason| row("pass", reason.name(), reasons.passed(reason)))?;
        DropReason::ALL.iter().try_for_each(|&reason| row("drop", reason.name(), reasons.dropped(reason)))?;
        ReplyReason::ALL.iter().try_for_each(|&reason| row("reply", reason.name(), reasons.replied(reason)))
    }

    fn write_table(&self, out: &mut impl Write) -> fmt::Result {
        let rows = [
            (
                gauge("lvs_connections", "Places of the table that are taken, by connections and templates."),
                self.connection_count() as u64,
            ),
            (gauge("lvs_connections_capacity", "Places of the table."), self.capacity() as u64),
            (gauge("lvs_memory_bytes", "Memory of table, index, timers and lists."), self.memory() as u64),
            (gauge("lvs_events_waiting", "Events that wait to be polled."), self.flows.events.len() as u64),
            (counter("lvs_events_missed_total", "Events that found no room."), self.missed_events()),
        ];
        rows.iter().try_for_each(|(metric, value)| {
            head(out, metric)?;
            writeln!(out, "{} {value}", metric.name)
        })
    }
}

fn head(out: &mut impl Write, metric: &Metric) -> fmt::Result {
    let Metric { name, help, kind } = metric;
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// The labels of a service.
struct Labels<'a>(&'a ServiceKey);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceKey::Address { protocol, address } => {
                let protocol = match protocol {
                    crate::flow::Protocol::Tcp => "tcp",
                    crate::flow::Protocol::Udp => "udp",
                    crate::flow::Protocol::Sctp => "sctp",
                };
                write!(f, "protocol=\"{protocol}\",address=\"{}\",port=\"{}\"", address.ip(), address.port())?;
            }
            ServiceKey::Mark { mark, .. } => write!(f, "mark=\"{mark}\"")?,
        }
        f.write_str(match self.0.family() {
            Family::V4 => ",family=\"ipv4\"",
            Family::V6 => ",family=\"ipv6\"",
        })
    }
}

/// The labels that a server adds.
struct ServerLabels(SocketAddr);

impl fmt::Display for ServerLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server=\"{}\",server_port=\"{}\"", self.0.ip(), self.0.port())
    }
}

/// The value of a label, with what would end it taken care of.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_would_end_a_label_is_escaped() {
        assert_eq!(Escaped("a\\b\"c\nd").to_string(), "a\\\\b\\\"c\\nd");
    }
}
