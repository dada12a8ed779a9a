//! IPsec (RFC 4302, RFC 4303), as far as IPVS looks at it: a packet belongs to the connection over which the keys were
//! exchanged (RFC 7296).

use crate::flow::{Protocol, Tuple};

/// Authentication header. Over IPv6 it is one of the extension headers.
pub(crate) const AH: u8 = 51;
/// Encapsulating security payload.
pub(crate) const ESP: u8 = 50;
/// The port of the key exchange, at both ends.
const KEY_EXCHANGE_PORT: u16 = 500;

/// True for a protocol of IPsec.
pub(crate) const fn is_ipsec(protocol: u8) -> bool {
    matches!(protocol, AH | ESP)
}

/// The flow of the key exchange between the same hosts.
pub(crate) const fn key_exchange(tuple: &Tuple) -> Tuple {
    Tuple {
        protocol: Protocol::Udp.number(),
        source_port: KEY_EXCHANGE_PORT,
        destination_port: KEY_EXCHANGE_PORT,
        ..*tuple
    }
}
