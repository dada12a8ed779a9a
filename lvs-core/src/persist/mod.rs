//! Persistence: which template a new connection falls under.
//!
//! A template binds a client's net to a server. It is an entry of the connection table with a key of its own: the net,
//! and how much of the destination counts.
//!
//! Follows: the template keys of IPVS. For one port, the port; for FTP, for services of every port and of a firewall
//! mark, every port; under a firewall mark, every address and protocol too.

use crate::addr::Addr;
use crate::conn::entry::Kind;
use crate::flow::Tuple;
use crate::service::ServiceKey;
use crate::service::key::FTP_PORT;
use crate::service::server::Servers;
use crate::service::service::Service;

/// The key of a template, and the port that it notes for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TemplateKey {
    pub(crate) kind: Kind,
    pub(crate) client: Addr,
    pub(crate) virtual_: (Addr, u16),
    /// Whether the server's own port is noted; otherwise 0 is.
    pub(crate) server_port: bool,
}

/// The template key of a packet that opens a connection of a persistent service.
pub(crate) fn template_key(service: &Service, tuple: &Tuple) -> TemplateKey {
    let client = service.client_net(tuple.source);
    let port = tuple.destination_port;
    let of_one_port = port == service.key().port();
    let (protocol, virtual_, server_port) = match service.key() {
        _ if of_one_port && port != FTP_PORT => (tuple.protocol, (tuple.destination, port), true),
        ServiceKey::Mark { mark, .. } if !of_one_port => (0, (Addr::v4(*mark), 0), false),
        _ => (tuple.protocol, (tuple.destination, 0), false),
    };
    TemplateKey { kind: Kind::template(tuple.family, protocol), client, virtual_, server_port }
}

/// Whether a template's server may still be used.
pub(crate) fn is_server_valid(server: u32, servers: &Servers, expire_quiescent: bool) -> bool {
    let live = servers.live(server);
    live.is_available()
        && !live.standing().is_cut_off()
        && !((expire_quiescent || live.gives_templates_up()) && live.weight == 0)
}
