//! Helpers: what must be changed inside of a conversation so that it works through address translation.
//!
//! `ftp` reads the two sides of an FTP control connection, `sequence` corrects sequence numbers after a payload has
//! changed its length, `window` tells segments that belong to the conversation from strays, `segment` reads and changes
//! TCP segments, `sessions` keeps all that for each control connection. Nothing here knows a table of connections: the
//! director does what a helper asks for.

pub(crate) mod ftp;
pub(crate) mod segment;
pub(crate) mod sequence;
pub(crate) mod sessions;
pub(crate) mod window;
