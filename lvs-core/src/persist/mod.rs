//! Persistence: which template a new connection falls under.
//!
//! A template binds a client's net to a server. It is an entry of the connection table with a key of its own: the net,
//! and how much of the destination counts.
//!
//! Follows: the template keys of IPVS. For one port, the port; for FTP, for services of every port and of a firewall
//! mark, every port; under a firewall mark, every address and protocol too. A persistence engine adds to the key what it
//! reads in the packet: `sip` the Call-ID.

pub(crate) mod records;
pub(crate) mod sip;

use crate::addr::Addr;
use crate::conn::entry::Kind;
use crate::service::ServiceKey;
use crate::service::key::FTP_PORT;
use crate::service::server::Servers;
use crate::service::service::Service;
use crate::verdict::DropReason;
use crate::wire::parse::Parsed;
use crate::wire::transport;

/// The name of the only engine there is.
pub(crate) const SIP: &str = "sip";

/// The key of a template, and the port that it notes for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TemplateKey<'a> {
    pub(crate) kind: Kind,
    pub(crate) client: Addr,
    pub(crate) virtual_: (Addr, u16),
    /// What an engine has read in the packet; nothing without an engine.
    pub(crate) data: &'a [u8],
    /// The port noted of a server with this one.
    noted: NotedPort,
}

/// What a template notes as its server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotedPort {
    /// The server's own.
    OfServer,
    /// This one, whatever the server's own.
    Fixed(u16),
}

impl<'a> TemplateKey<'a> {
    /// The key of a template that exists somewhere; what it notes of its server is not looked at.
    pub(crate) const fn of(kind: Kind, client: Addr, virtual_: (Addr, u16), data: &'a [u8]) -> Self {
        Self { kind, client, virtual_, data, noted: NotedPort::OfServer }
    }

    /// The port that a template of this key notes, if its server's own is `port`.
    pub(crate) const fn port_of_server(&self, port: u16) -> u16 {
        match self.noted {
            NotedPort::OfServer => port,
            NotedPort::Fixed(port) => port,
        }
    }
}

/// The template key of a packet that opens a connection of a persistent service. `bytes` are the packet's.
///
/// # Errors
/// Why the service's engine finds nothing to go by.
pub(crate) fn template_key<'a>(
    service: &Service,
    parsed: &Parsed,
    bytes: &'a [u8],
) -> Result<TemplateKey<'a>, DropReason> {
    let (tuple, port) = (&parsed.tuple, parsed.tuple.destination_port);
    let client = service.client_net(tuple.source);
    let of_one_port = port == service.key().port();
    let (protocol, virtual_, noted) = match service.key() {
        _ if of_one_port && port != FTP_PORT => (tuple.protocol, (tuple.destination, port), NotedPort::OfServer),
        ServiceKey::Mark { mark, .. } if !of_one_port => (0, (Addr::v4(*mark), 0), NotedPort::Fixed(0)),
        _ => (tuple.protocol, (tuple.destination, 0), NotedPort::Fixed(0)),
    };
    let data = engine_data(service, parsed, bytes)?;
    Ok(TemplateKey { kind: Kind::template(tuple.family, protocol, !data.is_empty()), client, virtual_, data, noted })
}

/// The same for a packet of a server that begins a conversation of its own: the client is where it goes, and it is as if
/// it came from `virtual_`, the service's address.
///
/// # Errors
/// As for [`template_key`].
pub(crate) fn template_key_outbound<'a>(
    service: &Service,
    virtual_: (Addr, u16),
    parsed: &Parsed,
    bytes: &'a [u8],
) -> Result<TemplateKey<'a>, DropReason> {
    let tuple = &parsed.tuple;
    let data = engine_data(service, parsed, bytes)?;
    Ok(TemplateKey {
        kind: Kind::template(tuple.family, tuple.protocol, !data.is_empty()),
        client: service.client_net(tuple.destination),
        virtual_,
        data,
        noted: NotedPort::Fixed(tuple.source_port),
    })
}

/// What a service's engine reads in a packet; nothing if it has none.
fn engine_data<'a>(service: &Service, parsed: &Parsed, bytes: &'a [u8]) -> Result<&'a [u8], DropReason> {
    if service.spec.engine.is_none() {
        return Ok(&[]);
    }
    if !parsed.is_udp() || parsed.is_quoted {
        return Err(DropReason::NotSip);
    }
    sip::call_id(bytes.get(parsed.transport + transport::UDP_LEN..parsed.len).unwrap_or_default())
}

/// Whether a template's server may still be used.
pub(crate) fn is_server_valid(server: u32, servers: &Servers, expire_quiescent: bool) -> bool {
    let live = servers.live(server);
    live.is_available()
        && !live.standing().is_cut_off()
        && !((expire_quiescent || live.gives_templates_up()) && live.weight == 0)
}
