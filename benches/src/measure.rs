//! Timing: short rounds, several subjects in turn, the median of each, the cost of making packets taken off.
//!
//! What is counted is the time that the thread was running, so that another program on the same core takes nothing from
//! a figure but the caches. The subjects of one comparison take turns in short rounds, so that a machine that is slow for
//! a while is slow for all of them. After every round it is checked that
//! each packet was handled as the case wants: nothing here can measure its own error path.

use core::hint::black_box;
use core::time::Duration;

use lvs_core::{Director, Instant, Meta, Packet, PassReason, ReasonCounts, Verdict};

use crate::machine::running_ns;
use crate::scene::NOW;
use crate::traffic::{Buffer, LEN, OFFSET, Traffic};

/// Packets of a round.
pub const ROUND: usize = 1 << 13;
/// A measurement ends after so long if it has a few rounds: on a slow or busy machine too all is done in ten minutes.
const ENOUGH: Duration = Duration::from_secs(3);
const A_FEW: usize = 9;
/// The longest burst.
pub const LONGEST: usize = 256;

/// The library or a reference, handling packets.
pub trait Subject {
    /// Handles the packets of a burst; or, if there is no `work`, does all else that it would do.
    fn handle(&mut self, buffers: &mut [Buffer], work: bool);
    /// How many packets it handled as wanted, ever.
    fn handled(&self) -> u64;
    /// Gets ready for the next round; this is not measured.
    fn rest(&mut self) {}
}

/// What a packet or another piece of work costs.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The median of the samples.
    pub ns: f64,
    /// Each round, in nanoseconds for one piece of work.
    pub samples: Vec<f64>,
}

impl Cost {
    /// Of rounds that measured nothing else.
    #[must_use]
    pub fn of(samples: Vec<f64>) -> Self {
        Self { ns: median(&samples), samples }
    }
}

/// The middle one; 0 of none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The one that such a share of the others does not exceed; 0 of none.
#[must_use]
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the samples")]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Nanoseconds of one call of `work`, over rounds of `calls` calls, which are checked by the caller.
pub fn time(rounds: usize, calls: usize, mut work: impl FnMut()) -> Cost {
    work();
    let round = || {
        let start = running_ns();
        work();
        (running_ns() - start) as f64 / calls as f64
    };
    Cost::of(std::iter::repeat_with(round).take(rounds).collect())
}

/// What a packet costs each subject, at the same time, each with traffic of its own.
///
/// # Panics
/// If a packet is not handled as wanted.
pub fn packets<const N: usize>(
    rounds: usize,
    burst: usize,
    subjects: [(&mut dyn Subject, &mut dyn Traffic); N],
) -> [Cost; N] {
    let mut buffers = vec![Buffer::EMPTY; burst.max(64)];
    let mut subjects = subjects;
    let mut times = [(); N].map(|()| (Vec::new(), Vec::new()));
    let started = std::time::Instant::now();
    for n in 0..=rounds {
        if n > A_FEW && started.elapsed() > ENOUGH {
            break;
        }
        for ((subject, traffic), (whole, making)) in subjects.iter_mut().zip(&mut times) {
            let before = subject.handled();
            let worked = round(*subject, *traffic, &mut buffers, true);
            let handled = subject.handled() - before;
            assert_eq!(handled, ROUND as u64, "packets were not handled as the case wants");
            subject.rest();
            let made = round(*subject, *traffic, &mut buffers, false);
            // The first round warms up.
            if n > 0 {
                whole.push(worked);
                making.push(made);
            }
        }
    }
    times.map(|(whole, making)| {
        let making = median(&making);
        Cost::of(whole.iter().map(|sample| sample - making).collect())
    })
}

fn round(subject: &mut dyn Subject, traffic: &mut dyn Traffic, buffers: &mut [Buffer], work: bool) -> f64 {
    traffic.start();
    let start = running_ns();
    for _ in 0..ROUND / buffers.len() {
        traffic.fill(buffers);
        subject.handle(buffers, work);
    }
    (running_ns() - start) as f64 / ROUND as f64
}

/// Waits until all that was begun is done: a processor works on several packets at once if it can.
#[inline]
pub(crate) fn settle() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction.
    unsafe {
        core::arch::x86_64::_mm_lfence();
    }
}

/// A director, taking packets one by one (bursts of 1) or in bursts.
#[derive(Debug)]
pub struct Library<'a> {
    /// It.
    pub director: &'a mut Director,
    burst: usize,
    now: Instant,
    wanted: fn(&ReasonCounts) -> u64,
    forgets: bool,
    apart: bool,
}

impl<'a> Library<'a> {
    /// One whose packets are to be forwarded.
    pub fn new(director: &'a mut Director, burst: usize) -> Self {
        Self::wanting(director, burst, ReasonCounts::forwarded)
    }

    /// One whose packets are to be counted by `wanted`.
    pub fn wanting(director: &'a mut Director, burst: usize, wanted: fn(&ReasonCounts) -> u64) -> Self {
        let mut library = Self { director, burst, now: NOW, wanted, forgets: false, apart: false };
        library.in_bursts(burst);
        library
    }

    /// The same, and after each round three minutes pass, so that flows which it opened come to their end. Those that
    /// are to stay have to be [lasting](crate::scene::Scene::lasting).
    #[must_use]
    pub fn forgetting(self) -> Self {
        Self { forgets: true, ..self }
    }

    /// The same, and nothing of a packet's work begins before that of the one before it is done, as if a driver were at
    /// work between them.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// From now on in such bursts.
    pub fn in_bursts(&mut self, burst: usize) -> &mut Self {
        assert!((1..=LONGEST).contains(&burst), "bursts of 1 to {LONGEST}");
        self.burst = burst;
        self
    }

    fn work<const N: usize>(&mut self, buffers: &mut [Buffer], work: bool) {
        let mut buffers = buffers.iter_mut();
        let mut packets: [Packet<'_>; N] = core::array::from_fn(|_| {
            Packet::new(&mut buffers.next().expect("N buffers").0, OFFSET, LEN).expect("room")
        });
        let mut verdicts = [Verdict::Pass(PassReason::NoService); N];
        if !work {
            black_box((&mut packets, &mut verdicts));
        } else if self.burst == 1 {
            for (packet, verdict) in packets.iter_mut().zip(&mut verdicts) {
                *verdict = self.director.process(self.now, packet, Meta::default());
                if self.apart {
                    settle();
                }
            }
        } else {
            for (packets, verdicts) in packets.chunks_mut(self.burst).zip(verdicts.chunks_mut(self.burst)) {
                self.director.process_burst(self.now, packets, &[Meta::default(); N], verdicts);
            }
        }
        black_box(&mut verdicts);
    }
}

impl Subject for Library<'_> {
    fn handle(&mut self, buffers: &mut [Buffer], work: bool) {
        match buffers.len() {
            64 => self.work::<64>(buffers, work),
            128 => self.work::<128>(buffers, work),
            _ => self.work::<LONGEST>(buffers, work),
        }
    }

    fn handled(&self) -> u64 {
        (self.wanted)(self.director.reasons())
    }

    fn rest(&mut self) {
        if self.forgets {
            // Longer than half-open connections and closed ones live, and the templates above them.
            self.now += Duration::from_secs(181);
            while self.director.advance(self.now, 100_000).more {}
        }
    }
}
