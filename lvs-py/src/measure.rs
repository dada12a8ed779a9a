//! What the benchmark compares calls with: calls that do nothing, and the work without any call. Not in ordinary wheels.

use std::hint::black_box;

use lvs_core::{Meta, Packet, PassReason, Verdict};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batch::Batch;
use crate::convert::instant;
use crate::director::{Director, HEADROOM, TAILROOM};

#[pymethods]
impl Director {
    /// What process takes, and nothing done.
    #[pyo3(signature = (packet, *, now, mark = 0, hook = "local", checksum = "unverified", from_host = false))]
    const fn _nothing(
        &self,
        packet: &Bound<'_, PyAny>,
        now: f64,
        mark: u32,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) {
        let _ = (packet, now, mark, hook, checksum, from_host);
    }

    /// What process_batch takes, and nothing done.
    #[pyo3(signature = (
        packets, lengths = None, *, now, offsets = None, mark = None, hook = "local", checksum = "unverified",
        from_host = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "as process_batch")]
    const fn _nothing_batch(
        &self,
        packets: &Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        now: &Bound<'_, PyAny>,
        offsets: Option<&Bound<'_, PyAny>>,
        mark: Option<&Bound<'_, PyAny>>,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) -> Option<Batch> {
        let _ = (packets, lengths, now, offsets, mark, hook, checksum, from_host);
        None
    }

    /// Packets are written into a buffer and processed, burst packets at a time, so many rounds; or only written.
    fn _work(
        &self,
        py: Python<'_>,
        packets: Vec<Bound<'_, PyBytes>>,
        now: f64,
        burst: usize,
        rounds: usize,
        process: bool,
    ) -> PyResult<()> {
        let now = instant(now)?;
        let packets: Vec<&[u8]> = packets.iter().map(|packet| packet.as_bytes()).collect();
        let longest = packets.iter().map(|packet| packet.len()).max().unwrap_or(0);
        let row = HEADROOM + longest + TAILROOM;
        let mut buffer = vec![0; row * burst];
        let mut verdicts = vec![Verdict::Pass(PassReason::NoService); burst];
        let metas = vec![Meta::default(); burst];
        self.with(py, |state| {
            for _ in 0..rounds {
                for some in packets.chunks(burst) {
                    for (row, packet) in buffer.chunks_mut(row).zip(some) {
                        row[HEADROOM..][..packet.len()].copy_from_slice(packet);
                    }
                    black_box(&mut buffer);
                    if process && burst == 1 {
                        let mut packet = Packet::new(&mut buffer, HEADROOM, some[0].len()).expect("it is there");
                        let verdict = state.director.process(now, &mut packet, Meta::default());
                        black_box(&verdict);
                    } else if process {
                        let rows = buffer.chunks_mut(row).zip(some);
                        let rows =
                            rows.map(|(row, packet)| Packet::new(row, HEADROOM, packet.len()).expect("it is there"));
                        let mut rows: Vec<Packet<'_>> = rows.collect();
                        state.director.process_burst(now, &mut rows, &metas, &mut verdicts);
                        black_box(&mut verdicts);
                    }
                }
            }
        })
    }
}
