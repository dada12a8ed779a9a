//! What it costs to come from C: the same packets through the C layer and without it, and a call that does nothing.
//!
//! The functions are called through pointers that the compiler knows nothing of, as from a program in C.

use core::hint::black_box;
use core::ptr::{null, null_mut};

use lvs::{lvs_config, lvs_director, lvs_packet, lvs_result, lvs_status};
use lvs_core::{Family, Protocol};

use super::{Plan, say};
use crate::measure::{LONGEST, Library, Subject, packets, time};
use crate::report::{Limit, Report, Row};
use crate::scene::{BURST, NOW, OPENED, Scene};
use crate::traffic::{Buffer, LEN, OFFSET, Random, Sequence, Template, Traffic};

type Process = unsafe extern "C" fn(*mut lvs_director, u64, *const lvs_packet, *mut lvs_result, usize) -> lvs_status;

/// Calls of a round that measures a call alone.
const CALLS: usize = 1 << 16;

/// A director behind the C layer, taking packets one by one or in bursts.
struct Crossing {
    director: *mut lvs_director,
    process: Process,
    burst: usize,
}

impl Crossing {
    /// With flows that are established.
    fn established(scene: &Scene) -> Self {
        let mut config = lvs_config { connections: scene.flows, ..DEFAULT };
        config.seed = 7;
        let mut director = null_mut();
        let rules = scene.empty().save();
        // SAFETY: live locals, and a handle from the first call.
        unsafe {
            assert_eq!(lvs::lvs_director_new(&raw const config, &raw mut director), lvs_status::LVS_OK);
            let loaded = lvs::lvs_director_load(director, rules.as_ptr().cast(), rules.len(), null_mut(), null_mut());
            assert_eq!(loaded, lvs_status::LVS_OK);
        }
        let mut crossing = Self { director, process: black_box(lvs::lvs_director_process), burst: BURST };
        for template in [Template::opening(Family::V4, Protocol::Tcp), Template::request(Family::V4, Protocol::Tcp)] {
            let mut traffic = Sequence::new(template, 0);
            let mut buffers = [Buffer::EMPTY; BURST];
            for _ in 0..scene.flows as usize / BURST {
                traffic.fill(&mut buffers);
                crossing.work::<BURST>(&mut buffers, true, OPENED.as_nanos());
            }
        }
        crossing
    }

    fn in_bursts(&mut self, burst: usize) -> &mut Self {
        self.burst = burst;
        self
    }

    fn work<const N: usize>(&mut self, buffers: &mut [Buffer], work: bool, now: u64) {
        let mut buffers = buffers.iter_mut();
        let packets: [lvs_packet; N] = core::array::from_fn(|_| lvs_packet {
            base: buffers.next().expect("N buffers").0.as_mut_ptr(),
            capacity: (OFFSET + LEN) as u32,
            offset: OFFSET as u32,
            length: LEN as u32,
            mark: 0,
            flags: 0,
            reserved: 0,
        });
        let mut results = [const { core::mem::MaybeUninit::<lvs_result>::uninit() }; N];
        if work {
            for (packets, results) in packets.chunks(self.burst).zip(results.chunks_mut(self.burst)) {
                // SAFETY: a live handle, records of buffers that live as long, and as many results.
                let status = unsafe {
                    (self.process)(self.director, now, packets.as_ptr(), results.as_mut_ptr().cast(), packets.len())
                };
                assert_eq!(status, lvs_status::LVS_OK);
            }
        }
        black_box((&packets, &mut results));
    }
}

const DEFAULT: lvs_config = lvs_config {
    size: size_of::<lvs_config>() as u32,
    connections: 0,
    seed: 0,
    events: 0,
    fragments: 4096,
    engine_templates: 16384,
    kernel: 0,
    admission: 0,
    reserved: 0,
    path: lvs::lvs_path { mtu: 1500, unreachable: 0, reserved: 0, tunnel_source_v4: [0; 4], tunnel_source_v6: [0; 16] },
};

impl Drop for Crossing {
    fn drop(&mut self) {
        // SAFETY: a handle of its own.
        unsafe { lvs::lvs_director_free(self.director) };
    }
}

impl Subject for Crossing {
    fn handle(&mut self, buffers: &mut [Buffer], work: bool) {
        match buffers.len() {
            64 => self.work::<64>(buffers, work, NOW.as_nanos()),
            128 => self.work::<128>(buffers, work, NOW.as_nanos()),
            _ => self.work::<LONGEST>(buffers, work, NOW.as_nanos()),
        }
    }

    fn handled(&self) -> u64 {
        let mut count = 0;
        // SAFETY: a live handle and a live local.
        let status = unsafe { lvs::lvs_director_count(self.director, 1, 0, &raw mut count) };
        assert_eq!(status, lvs_status::LVS_OK);
        count
    }
}

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    let scene = Scene::nat(plan.few);
    let crossing = Crossing::established(&scene);
    let empty = time(plan.rounds, CALLS, || {
        for _ in 0..CALLS {
            // SAFETY: a live handle, and no packets.
            let status = unsafe { (crossing.process)(crossing.director, 0, null(), null_mut(), 0) };
            assert_eq!(status, lvs_status::LVS_OK);
        }
    });
    let version = black_box(lvs::lvs_version as extern "C" fn() -> u32);
    let nothing = time(plan.rounds, CALLS, || {
        for _ in 0..CALLS {
            black_box(version());
        }
    });
    let row = Row::new("C: a call without packets", &empty).with(0, 1, 1.0);
    report.add(row.against("lvs_version()", &nothing).target("T8", Limit::Value(2.0)));
    for flows in [plan.few, plan.many] {
        let scene = Scene::nat(flows);
        let (mut direct, mut crossing) = (scene.established(), Crossing::established(&scene));
        for (burst, name) in [(1, "one at a time"), (4, "bursts of 4"), (BURST, "bursts of 64")] {
            let traffic = || Random::of(Template::request(Family::V4, Protocol::Tcp), flows);
            let [c, rust] = packets(
                plan.rounds,
                burst,
                [(crossing.in_bursts(burst), &mut traffic()), (&mut Library::new(&mut direct, burst), &mut traffic())],
            );
            let row = Row::new(format!("C: NAT, {} flows, {name}", say(flows)), &c).with(flows, burst, 1.0);
            report.add(row.against("Rust", &rust));
        }
    }
}
