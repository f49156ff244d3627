//! Under which names and addresses clients may reach this machine: what its own certificate is made out for.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The most addresses of this machine that go into a certificate.
const ADDRESSES_MAX: usize = 32;

/// The configured names, this machine's name, and its addresses. The first one is its common name.
///
/// Read from `/proc`, which needs no right to ask the kernel by netlink.
pub(super) fn of_this_machine(configured: &[String]) -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let host = read("/proc/sys/kernel/hostname");
    let host = host.trim();
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let mut names = configured.to_vec();
    if is_name(&host) {
        names.push(host.to_owned());
        if !host.contains('.') {
            // As it is called on a network without a name server (RFC 6762).
            names.push(format!("{host}.local"));
        }
    }
    names.push("localhost".to_owned());
    let mut addresses = v4(&read("/proc/net/fib_trie"));
    addresses.extend(v6(&read("/proc/net/if_inet6")));
    addresses.insert(Ipv4Addr::LOCALHOST.into());
    addresses.insert(Ipv6Addr::LOCALHOST.into());
    names.extend(addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The addresses that `/proc/net/fib_trie` calls this machine's own: each on the line before `/32 host LOCAL`.
fn v4(text: &str) -> BTreeSet<IpAddr> {
    let lines = text.lines().zip(text.lines().skip(1));
    lines
        .filter(|(_, next)| next.trim() == "/32 host LOCAL")
        .filter_map(|(line, _)| line.trim().strip_prefix("|-- ")?.parse::<Ipv4Addr>().ok())
        .map(IpAddr::from)
        .collect()
}

/// Those in `/proc/net/if_inet6` that another machine can use: not of one link alone, and not temporary ones.
fn v6(text: &str) -> BTreeSet<IpAddr> {
    const SCOPE_LINK: &str = "20";
    const TEMPORARY: u8 = 0x01;
    let address = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let (scope, flags) = (fields.nth(2)?, u8::from_str_radix(fields.next()?, 16).ok()?);
        (scope != SCOPE_LINK && flags & TEMPORARY == 0).then(|| IpAddr::from(Ipv6Addr::from(address)))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_found_in_what_the_kernel_shows() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.168.1.0/24 2 0 2\n        |-- 192.168.1.0\n           /24 link UNICAST\n        |-- 192.168.1.10\n           /32 host LOCAL\n        |-- 192.168.1.255\n           /32 link BROADCAST\n";
        assert_eq!(v4(trie), BTreeSet::from(["192.168.1.10".parse().unwrap()]));
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000042acfffe110002 02 40 20 80     eth0\n\
                     fd000000000000000000000000000007 02 40 00 80     eth0\n\
                     fd000000000000001234567812345678 02 40 00 01     eth0\n";
        assert_eq!(
            v6(inet6),
            BTreeSet::from(["::1".parse().unwrap(), "fd00::7".parse().unwrap()])
        );
    }

    #[test]
    fn configured_names_come_first_and_the_loopback_is_always_there() {
        let names = of_this_machine(&["edge.example".to_owned(), "127.0.0.1".to_owned()]);
        assert_eq!(names[..2], ["edge.example", "127.0.0.1"]);
        for name in ["localhost", "::1"] {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{names:?}");
        }
    }
}
