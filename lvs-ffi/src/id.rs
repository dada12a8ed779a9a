//! Ids: what services, servers and connections are called by.

use lvs_core::{ConnId, ServerId, ServiceId};

/// No index: there is no such thing.
pub const LVS_NONE: u32 = u32::MAX;

macro_rules! converts {
    ($c:ident, $rust:ident) => {
        impl $c {
            pub(crate) const NONE: Self = Self { index: LVS_NONE, generation: 0 };
        }

        impl From<$rust> for $c {
            fn from(id: $rust) -> Self {
                Self { index: u32::try_from(id.index()).unwrap_or(LVS_NONE), generation: id.generation() }
            }
        }

        impl From<Option<$rust>> for $c {
            fn from(id: Option<$rust>) -> Self {
                id.map_or(Self::NONE, Self::from)
            }
        }

        impl From<$c> for $rust {
            fn from(id: $c) -> Self {
                Self::from_parts(id.index, id.generation)
            }
        }
    };
}

/// Names a virtual service of one director, until it is removed; after that it finds nothing, even if another takes its
/// place.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_service_id {
    /// Its place in the table: small, dense, reused after removal. Good as an array index. Or LVS_NONE.
    pub index: u32,
    /// How often the place was taken before.
    pub generation: u32,
}

/// Names a real server of one service of one director, as lvs_service_id does a service.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_server_id {
    /// Its place among the servers, or LVS_NONE.
    pub index: u32,
    /// How often the place was taken before.
    pub generation: u32,
}

/// Names a connection of one director, as lvs_service_id does a service.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_connection_id {
    /// Its place in the table, below the number of connections that the director has room for, or LVS_NONE.
    pub index: u32,
    /// How often the place was taken before.
    pub generation: u32,
}

impl lvs_service_id {
    pub(crate) const fn is_none(self) -> bool {
        self.index == LVS_NONE
    }
}

impl lvs_server_id {
    pub(crate) const fn is_none(self) -> bool {
        self.index == LVS_NONE
    }
}

converts!(lvs_service_id, ServiceId);
converts!(lvs_server_id, ServerId);
converts!(lvs_connection_id, ConnId);
