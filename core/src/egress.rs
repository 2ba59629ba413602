//! Where a call may go that a user, not the operator, chose: to the public internet and nowhere
//! else, whatever a name resolves to.
//!
//! A URL is checked when it is given and again when it is used ([`public_url`]); the addresses its
//! name resolves to are checked by whoever connects, each before it is used ([`is_public`]). At the
//! edge the platform connects, and reaches no private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URL a user may give, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// RFC 1035, section 2.3.4, in bytes.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Domains that mean something on one machine or one network only: RFC 6761, RFC 6762, RFC 8375,
/// and ICANN's reservation of `internal`.
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "local", "internal", "home.arpa", "onion"];

/// IPv4 blocks that the public internet is not behind: the special-purpose registry of RFC 6890 as
/// IANA keeps it, without the few that are globally reachable. Address, and length of the prefix.
static PRIVATE_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carriers' own (CGNAT)
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, where clouds keep their metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays to 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

/// What is public of IPv6: all that is assigned as global unicast.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Blocks within it that are not, some because an IPv4 address is hidden in them.
static PRIVATE_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether the public internet is behind this address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let address = address.to_bits();
            !PRIVATE_V4.iter().any(|(block, bits)| (address ^ block.to_bits()) >> (32 - bits) == 0)
        }
        IpAddr::V6(address) => {
            let address = address.to_bits();
            let within =
                |(block, bits): &(Ipv6Addr, u32)| (address ^ block.to_bits()) >> (128 - bits) == 0;
            within(&GLOBAL_V6) && !PRIVATE_V6.iter().any(within)
        }
    }
}

/// The base URL a user gave, without slashes at its end; or what is wrong with it.
///
/// Stricter than the URL standard, so that no two readers of it can disagree about the host: names
/// in ASCII, IPv4 addresses as four decimal numbers, no user, no zone, no dot at the end.
pub fn public_url(text: &str) -> Result<String, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("it is longer than {URL_BYTES_MAX} bytes"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}?#".contains(&b)) {
        return Err("it has characters that no base URL has: expected ASCII letters, digits and \
                    punctuation, without a query"
            .into());
    }
    let rest = text.strip_prefix("https://").ok_or("expected https://HOST...")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = check_authority(authority)?;
    Ok(format!("https://{host}{}", path.trim_end_matches('/')))
}

/// The host and the port, in lower case.
fn check_authority(authority: &str) -> Result<String, String> {
    let authority = authority.to_ascii_lowercase();
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority.as_str(), None),
    };
    if let Some(port) = port {
        let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        port.parse::<u16>()
            .ok()
            .filter(|&port| is_number && port > 0)
            .ok_or_else(|| "its port is none: expected a number from 1 to 65535".to_owned())?;
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => check_address(address.parse::<Ipv6Addr>().map(IpAddr::V6).ok())?,
        None => check_name(host)?,
    }
    Ok(authority)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
        return Err("its host is none: expected a name such as api.example.com".into());
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_numeric(last) {
        return check_address(name.parse::<Ipv4Addr>().map(IpAddr::V4).ok());
    }
    let is_in = |domain: &&str| {
        name.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if !name.contains('.') || PRIVATE_DOMAINS.iter().any(is_in) {
        return Err("its host is not one of the public internet".into());
    }
    Ok(())
}

/// What ends so is read as an IPv4 address by some, in decimal, octal or hexadecimal.
fn is_numeric(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn check_address(address: Option<IpAddr>) -> Result<(), String> {
    match address {
        None => Err("its host is no address in its usual form: expected 203.0.114.1 or \
                     [2606:4700::1]"
            .into()),
        Some(address) if is_public(address) => Ok(()),
        Some(_) => Err("its address is not one of the public internet".into()),
    }
}

#[cfg(test)]
mod tests;
