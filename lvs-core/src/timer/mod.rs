//! When things end: the wheel that finds expired connections, and how long each state lasts.

pub(crate) mod timeouts;
pub(crate) mod wheel;

pub(crate) use timeouts::Profiles;
pub use timeouts::Timeouts;
