//! A director for several threads: the same verbs, and one that lends it whole for all the others.

use core::ffi::{c_char, c_void};
use core::slice::from_mut;

use lvs_core::{Instant, Meta, Packet, SharedDirector, Verdict};

use crate::apply::{lvs_applied, lvs_change_visitor, tell};
use crate::director::{config_of, number, point_at};
use crate::events::take_events;
use crate::explain::explained;
use crate::lvs_status::{self, LVS_ERR_NOT_FOUND, LVS_ERR_NULL};
use crate::packet::{Answers, check, open, process};
use crate::servers::put_server;
use crate::stats::count_of;
use crate::{
    lvs_address, lvs_config, lvs_connection, lvs_connection_id, lvs_counters, lvs_director, lvs_drain, lvs_event,
    lvs_filter, lvs_packet, lvs_path, lvs_result, lvs_server, lvs_server_id, lvs_server_info, lvs_service,
    lvs_service_id, lvs_shared, lvs_stats, ptr, status::boundary,
};

/// Builds a director for several threads, of so many shards: one for each thread that brings packets is right; 0 counts
/// as 1, and more than 1024 as 1024. Everything else is as for lvs_director_new. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_new(
    config: *const lvs_config,
    shards: usize,
    out: *mut *mut lvs_shared,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (config, out) = unsafe { (config_of(config)?, ptr::output(out)?) };
        out.write(lvs_shared::give(SharedDirector::new(config, shards)?));
        Ok(())
    })
}

/// Frees a director and lets go of its schedulers, or does nothing for NULL and from within a callback of its own. No call
/// of another thread may be under way. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_free(shared: *mut lvs_shared) {
    boundary(|| {
        // SAFETY: the contract of the crate: a handle that was not freed before, or null.
        unsafe { lvs_shared::take(shared) };
        Ok(())
    });
}

/// One shard of a director.
struct AtShard<'a> {
    director: &'a SharedDirector,
    shard: usize,
}

impl Answers for AtShard<'_> {
    fn one(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, verdict: &mut Verdict) {
        self.director.process_burst(self.shard, now, from_mut(packet), &[meta], from_mut(verdict));
    }

    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) {
        self.director.process_burst(self.shard, now, packets, metas, verdicts);
    }
}

/// Processes packets in order, as lvs_director_process does, at a shard: each thread its own. A number that is too large
/// goes round.
///
/// Any packet may be brought to any shard: the answer is the same. It is fast where the packets of one flow, its replies
/// included, come to the same one: lvs_shared_shard_of tells which. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_process(
    shared: *const lvs_shared,
    shard: usize,
    now_ns: u64,
    packets: *const lvs_packet,
    results: *mut lvs_result,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: a live handle, or null.
        let handle = unsafe { lvs_shared::borrow(shared)? };
        let mut at = AtShard { director: &handle.director, shard };
        // SAFETY: the contract of this function: valid for this call, or null; no packet in another's buffer.
        unsafe { process(&mut at, Instant::from_nanos(now_ns), packets, results, count) }
    })
}

/// Writes the shard that each packet's flow belongs to, replies and errors about it included. Network cards that hash
/// addresses and ports alike in both directions may spare one this for services by direct routing and tunnels; replies of
/// NAT servers show another address than requests. Records are checked as for lvs_director_process. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_shard_of(
    shared: *const lvs_shared,
    packets: *const lvs_packet,
    shards: *mut u32,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, packets, shards) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::array(packets, count)?, ptr::array_out(shards, count)?) };
        packets.iter().try_for_each(check)?;
        for (given, shard) in packets.iter().zip(shards) {
            // SAFETY: the contract of this function, and the check.
            let packet = unsafe { open(given) };
            shard.write(number(handle.director.shard_of(&packet)));
        }
        Ok(())
    })
}

/// Lets time pass, as lvs_director_advance. One thread of several is enough to call it. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_advance(
    shared: *const lvs_shared,
    now_ns: u64,
    budget: usize,
    more: *mut bool,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, more) = unsafe { (lvs_shared::borrow(shared)?, ptr::wanted(more)?) };
        let advanced = handle.director.advance(Instant::from_nanos(now_ns), budget);
        more.map(|more| more.write(advanced.more));
        Ok(())
    })
}

/// Writes when lvs_shared_advance has something to do next, as lvs_director_next_deadline. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_next_deadline(shared: *const lvs_shared, out_ns: *mut u64) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_shared::borrow(shared)?, ptr::output(out_ns)?) };
        out.write(handle.director.next_deadline().unwrap_or(Instant::MAX).as_nanos());
        Ok(())
    })
}

/// Is lent a director for as long as the call lasts.
pub type lvs_shared_visitor = Option<extern "C" fn(director: *mut lvs_director, user: *mut c_void)>;

/// Stops all threads and lends act the whole director, for what has no function of its own here: every function of
/// lvs_director may be called with it, but lvs_director_free, which does nothing. From there this shared director answers
/// LVS_ERR_BUSY. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_with(
    shared: *const lvs_shared,
    act: lvs_shared_visitor,
    user: *mut c_void,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_shared::borrow(shared)? };
        let act = act.ok_or(LVS_ERR_NULL)?;
        handle.with(|director| act(director, user));
        Ok(())
    })
}

/// Carries out one line of ipvsadm, as lvs_director_run. Lines that change something hold for every packet that is looked
/// at after them. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_run(
    shared: *const lvs_shared,
    line: *const c_char,
    line_length: usize,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, line, out, needed) = unsafe {
            (
                lvs_shared::borrow(shared)?,
                ptr::text(line, line_length)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        let printed = handle.director.run(line).map_err(|error| handle.refuse(&error))?;
        ptr::put_text(&printed, out, needed)
    })
}

/// Carries out a text of such lines, as lvs_director_load. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_load(
    shared: *const lvs_shared,
    text: *const c_char,
    text_length: usize,
    error_line: *mut u32,
    error_column: *mut u32,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, text, error_line, error_column) = unsafe {
            (
                lvs_shared::borrow(shared)?,
                ptr::text(text, text_length)?,
                ptr::wanted(error_line)?,
                ptr::wanted(error_column)?,
            )
        };
        handle.director.load(text).map_err(|error| {
            point_at(&error, error_line, error_column);
            handle.refuse(&error)
        })
    })
}

/// Makes the rules what a text says, as lvs_director_apply. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_apply(
    shared: *const lvs_shared,
    text: *const c_char,
    text_length: usize,
    done: *mut lvs_applied,
    visit: lvs_change_visitor,
    user: *mut c_void,
    error_line: *mut u32,
    error_column: *mut u32,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, text, done, error_line, error_column) = unsafe {
            (
                lvs_shared::borrow(shared)?,
                ptr::text(text, text_length)?,
                ptr::sized_wanted(done)?,
                ptr::wanted(error_line)?,
                ptr::wanted(error_column)?,
            )
        };
        let applied = handle.director.apply(text).map_err(|error| {
            point_at(&error, error_line, error_column);
            handle.refuse(&error)
        })?;
        tell(&applied, done, visit, user);
        Ok(())
    })
}

/// Writes why a call was refused the last time, as lvs_director_last_error: whatever thread made it. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_last_error(
    shared: *const lvs_shared,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        ptr::put_text(&handle.last_error(), out, needed)
    })
}

/// Adds a service, as lvs_director_add_service. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_add_service(
    shared: *const lvs_shared,
    service: *const lvs_service,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, service, out) =
            unsafe { (lvs_shared::borrow(shared)?, lvs_service::take(service)?, ptr::wanted(out)?) };
        let id = handle.director.add_service(service.read()?).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Gives a service another description, as lvs_director_edit_service. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_edit_service(
    shared: *const lvs_shared,
    service: *const lvs_service,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, service, out) =
            unsafe { (lvs_shared::borrow(shared)?, lvs_service::take(service)?, ptr::wanted(out)?) };
        let id = handle.director.edit_service(service.read()?).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Removes a service, as lvs_director_remove_service. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_remove_service(shared: *const lvs_shared, service: lvs_service_id) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_shared::borrow(shared)? };
        handle.director.remove_service(service.into()).map_err(|error| handle.refuse(&error))
    })
}

/// Adds a server to a service, as lvs_director_add_server. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_add_server(
    shared: *const lvs_shared,
    service: lvs_service_id,
    server: *const lvs_server,
    out: *mut lvs_server_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, server, out) =
            unsafe { (lvs_shared::borrow(shared)?, lvs_server::take(server)?, ptr::wanted(out)?) };
        let added = handle.director.add_server(service.into(), server.read()?);
        let id = added.map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Gives a server another description, as lvs_director_edit_server. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_edit_server(
    shared: *const lvs_shared,
    service: lvs_service_id,
    server: *const lvs_server,
    out: *mut lvs_server_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, server, out) =
            unsafe { (lvs_shared::borrow(shared)?, lvs_server::take(server)?, ptr::wanted(out)?) };
        let edited = handle.director.edit_server(service.into(), server.read()?);
        let id = edited.map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Removes a server from a service, as lvs_director_remove_server. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_remove_server(
    shared: *const lvs_shared,
    service: lvs_service_id,
    address: *const lvs_address,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, address) = unsafe { (lvs_shared::borrow(shared)?, ptr::input(address)?) };
        let address = address.socket()?;
        handle.director.remove_server(service.into(), address).map_err(|error| handle.refuse(&error))
    })
}

/// Writes the description of a server and what has become of it, as lvs_director_server. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_server(
    shared: *const lvs_shared,
    id: lvs_server_id,
    server: *mut lvs_server,
    info: *mut lvs_server_info,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, server, info) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::sized_wanted(server)?, ptr::sized_wanted(info)?) };
        let view = handle.director.server(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        put_server(&view, server, info);
        Ok(())
    })
}

/// Writes what a server has counted up to this moment, as lvs_director_server_counters. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_server_counters(
    shared: *const lvs_shared,
    id: lvs_server_id,
    out: *mut lvs_counters,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_shared::borrow(shared)?, ptr::output(out)?) };
        out.write(handle.director.server_counters(id.into()).ok_or(LVS_ERR_NOT_FOUND)?.into());
        Ok(())
    })
}

/// Drains a server, as lvs_director_drain. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_drain(
    shared: *const lvs_shared,
    server: lvs_server_id,
    how: *const lvs_drain,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, how) = unsafe { (lvs_shared::borrow(shared)?, lvs_drain::take(how)?) };
        handle.director.drain(server.into(), how.read()?).map_err(|error| handle.refuse(&error))
    })
}

/// Ends a drain, as lvs_director_undrain. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_undrain(shared: *const lvs_shared, server: lvs_server_id) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_shared::borrow(shared)? };
        handle.director.undrain(server.into()).map_err(|error| handle.refuse(&error))
    })
}

/// Ends connections and templates at once, as lvs_director_flush. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_flush(
    shared: *const lvs_shared,
    filter: *const lvs_filter,
    ended: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, filter, ended) =
            unsafe { (lvs_shared::borrow(shared)?, lvs_filter::take(filter)?, ptr::wanted(ended)?) };
        let filter = filter.read(|error| handle.refuse(error))?;
        let count = handle.director.flush(&filter).map_err(|error| handle.refuse(&error))?;
        ended.map(|ended| ended.write(count));
        Ok(())
    })
}

/// Writes what there is to know of a connection, as lvs_director_connection. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_connection(
    shared: *const lvs_shared,
    id: lvs_connection_id,
    out: *mut lvs_connection,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_shared::borrow(shared)?, ptr::sized_out(out)?) };
        let view = handle.director.connection(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        out.write(lvs_connection::from(&view));
        Ok(())
    })
}

/// Changes a setting of the kernel's by its name, as lvs_director_set_tunable. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_set_tunable(
    shared: *const lvs_shared,
    name: *const c_char,
    name_length: usize,
    value: *const c_char,
    value_length: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, name, value) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::text(name, name_length)?, ptr::text(value, value_length)?) };
        handle.director.set_tunable(name, value).map_err(|error| handle.refuse(&error))
    })
}

/// Tells the way to servers of an address, as lvs_director_set_path. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_set_path(
    shared: *const lvs_shared,
    address: *const lvs_address,
    path: *const lvs_path,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, address, path) = unsafe { (lvs_shared::borrow(shared)?, ptr::input(address)?, ptr::given(path)?) };
        match (address.ip()?, path) {
            (address, Some(path)) => handle.director.set_path(address, path.read()?),
            (address, None) => handle.director.with(|director| director.clear_path(address)),
        }
        Ok(())
    })
}

/// Takes events out of the queue, as lvs_director_poll_events. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_poll_events(
    shared: *const lvs_shared,
    events: *mut lvs_event,
    capacity: usize,
    count: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, events, count) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::array_out(events, capacity)?, ptr::output(count)?) };
        count.write(take_events(events, || handle.director.poll_event()));
        Ok(())
    })
}

/// Says what lvs_shared_process would do with a packet and why, as lvs_director_explain. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_explain(
    shared: *const lvs_shared,
    now_ns: u64,
    packet: *const lvs_packet,
    result: *mut lvs_result,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null; the packet's buffer as well.
        let (handle, given, packet, result, out, needed) = unsafe {
            let handle = lvs_shared::borrow(shared)?;
            let given = ptr::one(packet)?;
            check(given)?;
            (
                handle,
                given,
                open(given),
                ptr::wanted(result)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        let explanation = explained(given, &packet, result, |packet, meta| {
            handle.director.explain(Instant::from_nanos(now_ns), packet, meta)
        });
        ptr::put_text(&explanation.to_string(), out, needed)
    })
}

/// Writes all counts in the text format of Prometheus, as lvs_director_metrics. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_metrics(
    shared: *const lvs_shared,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_shared::borrow(shared)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        ptr::put_text(&handle.director.metrics(), out, needed)
    })
}

/// Writes what there is to know of the director as a whole, as lvs_director_stats. It stops all threads for a moment.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_stats(shared: *const lvs_shared, out: *mut lvs_stats) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_shared::borrow(shared)?, ptr::sized_out(out)?) };
        out.write(handle.director.with(|director| lvs_stats::from(&*director)));
        Ok(())
    })
}

/// Writes how many packets got a verdict for a reason, at all shards, as lvs_director_count. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_shared_count(
    shared: *const lvs_shared,
    verdict: u32,
    reason: u32,
    out: *mut u64,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_shared::borrow(shared)?, ptr::output(out)?) };
        out.write(count_of(&handle.director.reasons(), verdict, reason)?);
        Ok(())
    })
}
