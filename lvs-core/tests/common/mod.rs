//! What the integration tests share.
//!
//! `scenario` makes up rules and packets, `play` turns them into a trace of bytes, times and commands and runs it, `bytes`
//! looks at packets without the library's help, `parts` cuts and joins fragments,
//! `states` is the model of one connection's life, `pcap` reads captures.

pub(crate) mod bytes;
pub(crate) mod parts;
pub(crate) mod pcap;
pub(crate) mod play;
pub(crate) mod scenario;
pub(crate) mod states;
