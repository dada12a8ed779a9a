//! One pick of each scheduler, over 16 and over 1000 servers.
//!
//! `cargo bench --bench schedulers`

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lvs_core::sched::{NewFlow, SchedulerKind, SchedulerTunables};
use lvs_core::testkit::TestPool;
use lvs_core::{Instant, ServerSpec};

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    group.sample_size(20).warm_up_time(std::time::Duration::from_millis(200));
    group.measurement_time(std::time::Duration::from_millis(500));
    for kind in SchedulerKind::ALL {
        for servers in [16u16, 1000] {
            let mut pool = TestPool::new();
            pool.attach(kind.build(7, SchedulerTunables::default())).expect("an empty pool suits every scheduler");
            for n in 0..servers {
                let address = format!("10.1.{}.{}:80", n >> 8, n & 255).parse().expect("an address");
                pool.add(ServerSpec::nat(address).weight(u32::from(n % 7) + 1));
            }
            let mut n = 0u32;
            group.bench_function(BenchmarkId::new(kind.name(), servers), |bencher| {
                bencher.iter(|| {
                    n = n.wrapping_add(1);
                    let client = std::net::SocketAddr::from((std::net::Ipv4Addr::from(n), 1000));
                    pool.pick(&NewFlow::new(Instant::ZERO, 6, client, [192, 0, 2, 10].into()))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, picks);
criterion_main!(benches);
