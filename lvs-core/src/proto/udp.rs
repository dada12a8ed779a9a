//! UDP has one state, and no flow of it is ever active.

/// Its name in listings.
pub(crate) const NAME: &str = "UDP";
