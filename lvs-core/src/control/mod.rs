//! `ipvsadm` text: reading it, carrying it out, writing it.
//!
//! `command` is the value between text and tables. Reading: `words` splits a line, `options` knows every option and
//! which command takes it, `scan` finds them in a line, `values` reads numbers and addresses, `parse` puts a command
//! together, `wanted` a whole configuration. Writing: `view` is what there is to show, `save` writes the rules, `listing` the tables of `-L`, `proc` the
//! files of `/proc/net`, `order` sorts as `ipvsadm` does. `flags` names scheduler flags for both.

pub(crate) mod apply;
pub(crate) mod command;
pub(crate) mod flags;
pub(crate) mod listing;
pub(crate) mod options;
pub(crate) mod order;
pub(crate) mod parse;
pub(crate) mod proc;
pub(crate) mod save;
pub(crate) mod scan;
pub(crate) mod values;
pub(crate) mod view;
pub(crate) mod wanted;
pub(crate) mod words;

#[cfg(test)]
mod round_trip;

pub use command::{Columns, Command, Content, DaemonRole, DaemonSpec, Listing};
pub use parse::{parse_line, parse_rules};
pub use view::{ConnectionView, DaemonView, EngineView, ServerView, ServiceView, TimeoutsView};
