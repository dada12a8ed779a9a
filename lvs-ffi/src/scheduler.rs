//! A scheduler of the caller's own: functions of C that choose.

use core::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lvs_core::sched::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, Weights};
use lvs_core::{Instant, ServerId};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NULL};
use crate::ptr::User;
use crate::{lvs_address, lvs_director, lvs_server_id, lvs_service, lvs_service_id, ptr, status::boundary};

/// What a scheduler may know of the packet that opens a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_new_flow {
    /// When the packet came.
    pub now_ns: u64,
    /// The client, port 0 if the protocol has none.
    pub client: lvs_address,
    /// The address that the client wrote to, without its port.
    pub target: lvs_address,
    /// The IP protocol number.
    pub protocol: u8,
    /// 0.
    pub reserved: [u8; 7],
}

impl From<&NewFlow> for lvs_new_flow {
    fn from(flow: &NewFlow) -> Self {
        Self {
            now_ns: flow.now().as_nanos(),
            client: core::net::SocketAddr::new(flow.client(), flow.client_port()).into(),
            target: flow.target().into(),
            protocol: flow.protocol(),
            reserved: [0; 7],
        }
    }
}

/// One real server, as a scheduler sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_candidate {
    /// Its id.
    pub id: lvs_server_id,
    /// Its address and port.
    pub address: lvs_address,
    /// The weight; 0 for none of the new flows.
    pub weight: u32,
    /// The weight before it was last set to 0.
    pub last_weight: u32,
    /// Connections in an active state of their protocol.
    pub active: u32,
    /// All connections, active or not.
    pub connections: u32,
    /// What the least-connection schedulers compare: 257 times the active connections and the inactive ones.
    pub overhead: u32,
    /// 1 if it has reached its upper threshold and not yet fallen below its lower one, else 0.
    pub overloaded: u8,
    /// 1 if it may get a new flow: it has a weight and is not overloaded; else 0.
    pub eligible: u8,
    /// 0.
    pub reserved: u16,
}

impl From<Candidate<'_>> for lvs_candidate {
    fn from(candidate: Candidate<'_>) -> Self {
        Self {
            id: candidate.id().into(),
            address: candidate.address().into(),
            weight: candidate.weight(),
            last_weight: candidate.last_weight(),
            active: candidate.active(),
            connections: candidate.connections(),
            overhead: candidate.overhead(),
            overloaded: u8::from(candidate.is_overloaded()),
            eligible: u8::from(candidate.is_eligible()),
            reserved: 0,
        }
    }
}

/// What the weights of servers mean to a scheduler: what slow start may do to them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_weights {
    /// Proportions: if all are multiplied by one number, the picks are the same.
    LVS_WEIGHTS_SHARES = 0,
    /// Numbers of connections.
    LVS_WEIGHTS_LIMITS = 1,
    /// Nothing but whether a server may get flows at all, or ranks, or places.
    LVS_WEIGHTS_FIXED = 2,
}

/// A scheduler of one's own. Begin with LVS_SCHEDULER_INIT and put at least pick.
///
/// The functions are called in the thread that makes the call, in the midst of it, and never two at once for one service,
/// not even by a shared director. They must not call the director that calls them: LVS_ERR_BUSY. The arrays are there only
/// as long as the call lasts: all servers of the service, the newest first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_scheduler {
    /// sizeof(lvs_scheduler).
    pub size: u32,
    /// LVS_WEIGHTS_*.
    pub weights: u32,
    /// Chooses the server of a new flow: its place in the array, eligible or not, or LVS_NONE if none can take it.
    pub pick: Option<
        extern "C" fn(flow: *const lvs_new_flow, servers: *const lvs_candidate, count: usize, user: *mut c_void) -> u32,
    >,
    /// Is told that the service has taken up the scheduler, or that a server came, went or was edited; or NULL.
    pub changed: Option<extern "C" fn(servers: *const lvs_candidate, count: usize, user: *mut c_void)>,
    /// When tick is to be called next, UINT64_MAX for never. Asked once the service has taken up the scheduler, and after
    /// each pick and tick; or NULL.
    pub next_tick: Option<extern "C" fn(user: *mut c_void) -> u64>,
    /// Is told the time: when the service has taken up the scheduler, and within lvs_director_advance once next_tick has
    /// come; or NULL.
    pub tick: Option<extern "C" fn(now_ns: u64, user: *mut c_void)>,
    /// Makes a copy that would answer the same: another user pointer for these functions, which release takes back.
    /// lvs_director_explain asks it, and tells LVS_VERDICT_UNKNOWN where this is NULL or returns false.
    pub fork: Option<extern "C" fn(user: *mut c_void, copy: *mut *mut c_void) -> bool>,
    /// Is told that the scheduler, or the copy, is not needed any more: the last call of all with it; or NULL.
    pub release: Option<extern "C" fn(user: *mut c_void)>,
    /// Handed to the functions as it is.
    pub user: *mut c_void,
}

impl ptr::Growing for lvs_scheduler {}

impl lvs_scheduler {
    /// A scheduler that C hands over, and the switch that says whether C has really let go of it.
    ///
    /// # Safety
    /// As [`ptr::sized`]; the functions are what the header says.
    unsafe fn take(scheduler: *const Self) -> Result<(Callbacks, Arc<AtomicBool>), lvs_status> {
        const DEFAULT: lvs_scheduler = lvs_scheduler {
            size: 0,
            weights: 0,
            pick: None,
            changed: None,
            next_tick: None,
            tick: None,
            fork: None,
            release: None,
            user: core::ptr::null_mut(),
        };
        // SAFETY: the caller's promise; pointers may be null.
        let given = unsafe { ptr::sized(scheduler, DEFAULT)? };
        let weights = match given.weights {
            0 => Weights::Shares,
            1 => Weights::Limits,
            2 => Weights::Fixed,
            _ => return Err(LVS_ERR_ARGUMENT),
        };
        given.pick.ok_or(LVS_ERR_NULL)?;
        let is_taken = Arc::new(AtomicBool::new(false));
        let user = User(given.user);
        Ok((
            Callbacks { functions: given.into(), user, weights, seen: Vec::new(), is_taken: is_taken.clone() },
            is_taken,
        ))
    }
}

/// The functions without the pointer that they are called with.
#[derive(Clone, Copy, Debug)]
struct Functions {
    pick: Option<extern "C" fn(*const lvs_new_flow, *const lvs_candidate, usize, *mut c_void) -> u32>,
    changed: Option<extern "C" fn(*const lvs_candidate, usize, *mut c_void)>,
    next_tick: Option<extern "C" fn(*mut c_void) -> u64>,
    tick: Option<extern "C" fn(u64, *mut c_void)>,
    fork: Option<extern "C" fn(*mut c_void, *mut *mut c_void) -> bool>,
    release: Option<extern "C" fn(*mut c_void)>,
}

impl From<lvs_scheduler> for Functions {
    fn from(lvs_scheduler { pick, changed, next_tick, tick, fork, release, .. }: lvs_scheduler) -> Self {
        Self { pick, changed, next_tick, tick, fork, release }
    }
}

/// The functions as the library calls them.
#[derive(Debug)]
struct Callbacks {
    functions: Functions,
    user: User,
    weights: Weights,
    /// The servers as C sees them: its room is made when servers come, not when packets do.
    seen: Vec<lvs_candidate>,
    /// False until a service has it: who refuses it leaves it to the caller.
    is_taken: Arc<AtomicBool>,
}

impl Callbacks {
    fn look(&mut self, pool: &Pool<'_>) {
        self.seen.clear();
        self.seen.extend(pool.iter().map(lvs_candidate::from));
    }

    fn tell(&mut self, pool: &Pool<'_>) {
        self.look(pool);
        if let Some(changed) = self.functions.changed {
            changed(self.seen.as_ptr(), self.seen.len(), self.user.0);
        }
    }
}

impl Scheduler for Callbacks {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.look(pool);
        let flow = lvs_new_flow::from(flow);
        let pick = self.functions.pick?;
        let place = pick(&raw const flow, self.seen.as_ptr(), self.seen.len(), self.user.0);
        let chosen = self.seen.get(usize::try_from(place).ok()?)?;
        Some(chosen.id.into())
    }

    fn start(&mut self, pool: &Pool<'_>, now: Instant) -> Result<(), PoolRefused> {
        self.tell(pool);
        self.tick(now);
        Ok(())
    }

    fn weights(&self) -> Weights {
        self.weights
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.tell(pool);
    }

    fn removed(&mut self, _position: usize, pool: &Pool<'_>) {
        self.tell(pool);
    }

    fn edited(&mut self, _position: usize, pool: &Pool<'_>) {
        self.tell(pool);
    }

    fn next_tick(&self) -> Option<Instant> {
        let at = Instant::from_nanos(self.functions.next_tick?(self.user.0));
        (at != Instant::MAX).then_some(at)
    }

    fn tick(&mut self, now: Instant) {
        if let Some(tick) = self.functions.tick {
            tick(now.as_nanos(), self.user.0);
        }
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        let mut copy = core::ptr::null_mut();
        let is_taken = Arc::new(AtomicBool::new(self.functions.fork?(self.user.0, &raw mut copy)));
        let copy = Self { user: User(copy), seen: Vec::new(), is_taken, ..*self };
        copy.is_taken.load(Ordering::Relaxed).then(|| Box::new(copy) as Box<dyn Scheduler>)
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(release) = self.functions.release.filter(|_| self.is_taken.load(Ordering::Relaxed)) {
            release(self.user.0);
        }
    }
}

/// Adds a service with a scheduler of one's own; the name of the scheduler in the description is what listings show, one
/// word of 1 to 15 characters. From LVS_OK on the scheduler is the director's, until it calls release: when the service is
/// removed, gets another scheduler, or the director is freed. After a refusal, those of lvs_director_add_service, it is
/// still the caller's. out, if not NULL, is the service's id. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_add_service_with(
    director: *mut lvs_director,
    service: *const lvs_service,
    scheduler: *const lvs_scheduler,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, service, (scheduler, is_taken), out) = unsafe {
            (
                lvs_director::borrow(director)?,
                lvs_service::take(service)?,
                lvs_scheduler::take(scheduler)?,
                ptr::wanted(out)?,
            )
        };
        let added = handle.director.add_service_with(service.read()?, Box::new(scheduler));
        let id = added.map_err(|error| handle.refuse(&error))?;
        is_taken.store(true, Ordering::Relaxed);
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// As lvs_director_edit_service, with a scheduler of one's own as for lvs_director_add_service_with. One thread at a time
/// per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_edit_service_with(
    director: *mut lvs_director,
    service: *const lvs_service,
    scheduler: *const lvs_scheduler,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, service, (scheduler, is_taken), out) = unsafe {
            (
                lvs_director::borrow(director)?,
                lvs_service::take(service)?,
                lvs_scheduler::take(scheduler)?,
                ptr::wanted(out)?,
            )
        };
        let edited = handle.director.edit_service_with(service.read()?, Box::new(scheduler));
        let id = edited.map_err(|error| handle.refuse(&error))?;
        is_taken.store(true, Ordering::Relaxed);
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}
