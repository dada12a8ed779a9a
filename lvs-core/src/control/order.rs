//! The order of listings: services by mark, family, protocol, address and port, servers by address and port.
//!
//! `ipvsadm` compares numbers by the sign of their 32-bit difference, which wraps: 192.168.0.1 comes before 10.0.0.1.
//! Such an order can run in a circle, so that the result depends on the way of sorting. This is the merge sort of the
//! C library that `ipvsadm` runs on; `slice::sort_by` may panic on circles.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::{IpAddr, SocketAddr};

use super::view::{ServerView, ServiceView};
use crate::addr::Family;
use crate::service::ServiceKey;

/// The services as `ipvsadm` sorts them.
pub(crate) fn services(services: &[ServiceView]) -> Vec<&ServiceView> {
    merge_sort(services.iter().collect(), |a, b| by_key(&a.spec.key, &b.spec.key))
}

/// The servers as `ipvsadm` sorts them.
pub(crate) fn servers(servers: &[ServerView]) -> Vec<&ServerView> {
    merge_sort(servers.iter().collect(), |a, b| by_socket(a.spec.address, b.spec.address))
}

fn by_key(a: &ServiceKey, b: &ServiceKey) -> Ordering {
    let address = |key: &ServiceKey| match *key {
        ServiceKey::Address { address, .. } => address,
        // A mark service has no address; within one family and mark there is nothing left to compare.
        ServiceKey::Mark { .. } => SocketAddr::from(([0; 4], 0)),
    };
    let (left, right) = (rank(a), rank(b));
    let by_rank = left.iter().zip(right).map(|(&x, y)| wrapped(x, y)).find(|order| order.is_ne());
    by_rank.unwrap_or_else(|| by_socket(address(a), address(b)))
}

/// What services are compared by before their addresses: mark, family, protocol.
fn rank(key: &ServiceKey) -> [u32; 3] {
    let family = match key.family() {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    match key {
        ServiceKey::Address { protocol, .. } => [0, family, protocol.number().into()],
        ServiceKey::Mark { mark, .. } => [*mark, family, 0],
    }
}

fn by_socket(a: SocketAddr, b: SocketAddr) -> Ordering {
    let by_word = address_words(a.ip()).into_iter().zip(address_words(b.ip())).map(|(x, y)| wrapped(x, y));
    by_word.chain([wrapped(a.port().into(), b.port().into())]).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// An IPv4 address counts as the first word, wherever it is compared with an IPv6 one.
fn address_words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [address.to_bits(), 0, 0, 0],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [96, 64, 32, 0].map(|shift| u32::try_from(bits >> shift & 0xffff_ffff).expect("masked to 32 bits"))
        }
    }
}

fn wrapped(a: u32, b: u32) -> Ordering {
    a.wrapping_sub(b).cast_signed().cmp(&0)
}

/// Halves, the shorter one first, and takes from the left one unless the right one is less.
fn merge_sort<T: Copy>(items: Vec<T>, compare: impl Fn(T, T) -> Ordering + Copy) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let (left, right) = items.split_at(items.len() / 2);
    let (left, right) = (merge_sort(left.to_vec(), compare), merge_sort(right.to_vec(), compare));
    let mut sorted = Vec::with_capacity(items.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(&a), Some(&b)) = (left.peek(), right.peek()) {
        sorted.extend(if compare(a, b).is_gt() { right.next() } else { left.next() });
    }
    sorted.extend(left);
    sorted.extend(right);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Protocol;
    use crate::service::{ServerSpec, ServiceSpec};
    use alloc::string::{String, ToString};

    fn sorted_servers(addresses: &[&str]) -> Vec<String> {
        let views: Vec<_> = addresses.iter().map(|a| ServerView::new(ServerSpec::nat(a.parse().unwrap()))).collect();
        servers(&views).iter().map(|view| view.spec.address.to_string()).collect()
    }

    #[test]
    fn addresses_far_apart_sort_backwards() {
        assert_eq!(
            sorted_servers(&["10.0.0.2:80", "10.0.0.1:81", "10.0.0.1:80", "192.168.0.1:80"]),
            ["192.168.0.1:80", "10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]
        );
    }

    #[test]
    fn an_ipv4_address_is_the_first_word_among_ipv6() {
        assert_eq!(
            sorted_servers(&["10.0.0.1:80", "[fd00::66]:80", "[fd00::65]:80"]),
            ["[fd00::65]:80", "[fd00::66]:80", "10.0.0.1:80"]
        );
    }

    #[test]
    fn a_circle_is_sorted_without_a_panic() {
        let circle = ["0.0.0.1:0", "100.0.0.1:0", "200.0.0.1:0"];
        let many: Vec<&str> = circle.iter().copied().cycle().take(100).collect();
        assert_eq!(sorted_servers(&many).len(), 100);
    }

    #[test]
    fn services_sort_by_mark_family_protocol_address_port() {
        let address = |protocol, text: &str| ServiceKey::address(protocol, text.parse().unwrap());
        let wanted = [
            ServiceKey::mark(u32::MAX, Family::V4),
            address(Protocol::Tcp, "192.0.2.10:80"),
            address(Protocol::Tcp, "192.0.2.11:0"),
            address(Protocol::Udp, "192.0.2.10:53"),
            address(Protocol::Sctp, "192.0.2.10:3868"),
            address(Protocol::Tcp, "[2001:db8::1]:80"),
            ServiceKey::mark(3, Family::V4),
            ServiceKey::mark(3, Family::V6),
            ServiceKey::mark(4, Family::V4),
        ];
        let views: Vec<_> =
            wanted.iter().rev().map(|&key| ServiceView::new(ServiceSpec::new(key), Vec::new())).collect();
        assert!(services(&views).iter().map(|view| view.spec.key).eq(wanted));
    }
}
