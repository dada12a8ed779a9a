//! The Linux Virtual Server (IPVS) as a library: the C interface of lvs-core.
//!
//! Names. Everything begins with lvs_ or LVS_. A function is named after its first parameter.
//!
//! Ownership. lvs_director_new and lvs_shared_new give a handle, lvs_director_free and lvs_shared_free take it back; but for
//! schedulers of one's own nothing else changes hands. Services, servers and connections have ids, which are values and
//! find nothing once what they name is gone. Texts go in as pointer and length, in UTF-8, and need no end mark. Texts come
//! out static, or into a buffer of the caller's, with a zero byte behind them.
//!
//! Results. What can fail returns lvs_status, and LVS_OK is 0. Other results come through pointers, the last
//! parameters, and are written only on LVS_OK unless the function says otherwise. A call that is refused has changed
//! nothing unless the function says otherwise. LVS_ERR_NULL, LVS_ERR_ARGUMENT, LVS_ERR_BUSY and LVS_ERR_INTERNAL may come
//! from every function, LVS_ERR_SPACE from every one that fills a buffer; the others are named where they may come.
//!
//! Records. One that may grow in later versions begins with its size, and has a macro LVS_..._INIT to begin with if it goes
//! in; one that comes out has its size put there by the caller. Fields called reserved are 0.
//!
//! Pointers. Each is NULL, or points to what its type says, for as long as the call lasts, and nothing else writes there
//! meanwhile. Where results or text are written, nothing else may read. NULL is answered with LVS_ERR_NULL unless the
//! function allows it; an array or a text may be NULL if it is empty. A handle is one that was given and not taken back:
//! one that was freed must not be used, and nothing can tell.
//!
//! Numbers. Those that stand for something are checked on their way in, and keep their meaning from version to version.
//! Ports and marks are numbers, not in network byte order.
//!
//! Memory. What connections and packets need is reserved when a handle is made, or there is no handle: LVS_ERR_FULL.
//! Rules, texts and synchronisation take theirs when they come; where the system has none for them, the process ends.
//!
//! Panics. A defect of the library is answered with LVS_ERR_INTERNAL, after a message on standard error, and so is every
//! later call with that handle; it can only be freed. The process goes on.
//!
//! Threads. Each function says which it is: "Thread-safe", or "One thread at a time per handle". A handle may move
//! between threads. lvs_director is for one thread at a time: two within it at once break it, and nothing can tell.
//! lvs_shared is for any number: it has the verbs of lvs_director that a dataplane needs while it runs, and lends the whole
//! director for the rest.
//!
//! Callbacks. Only the functions that walk, lend or apply, and a scheduler of one's own, call back: in the thread of the
//! call, before it returns, with the user pointer that they were given. From there the same handle answers LVS_ERR_BUSY,
//! and other handles work. A callback returns: no longjmp, and no C++ exception, may leave it.
//!
//! Time. A number of nanoseconds since any origin; UINT64_MAX is never. The library reads no clock. To a lvs_director an
//! earlier time than the latest that it was told counts as that one. Threads may tell a lvs_shared different times: what
//! two of them share lives by the latest.

#![allow(non_camel_case_types, reason = "a name is the same here and in the header")]
#![expect(clippy::missing_safety_doc, reason = "one contract for all functions: see \"Pointers\" above")]
#![deny(missing_docs)]

// The header has its parts in this order, the dataplane's way through it.
mod status;

mod version;

mod director;

mod packet;

mod reasons;

mod services;

mod servers;

mod apply;

mod connections;

mod events;

mod explain;

mod stats;

mod tunables;

mod host;

mod sync;

mod scheduler;

mod shared;

mod address;

mod handle;
mod id;
mod ptr;
mod text;

pub use address::*;
pub use apply::*;
pub use connections::*;
pub use director::*;
pub use events::*;
pub use explain::*;
pub use handle::{lvs_director, lvs_shared};
pub use host::*;
pub use id::*;
pub use packet::*;
pub use reasons::*;
pub use scheduler::*;
pub use servers::*;
pub use services::*;
pub use shared::*;
pub use stats::*;
pub use status::{lvs_status, lvs_status_name};
pub use sync::*;
pub use tunables::*;
pub use version::*;
