use super::*;

/// First and last address of every block that is not public, as IANA's registry of special-purpose
/// addresses has them.
const BLOCKS: [(&str, &str); 15] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
];

fn v4(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().to_bits()
}

/// One address of each block of 256, for no block is smaller, and what is at the edges.
#[test]
fn every_ipv4_address() {
    let blocks = BLOCKS.map(|(first, last)| v4(first)..=v4(last));
    let edges = blocks.iter().flat_map(|block| {
        let (first, last) = (*block.start(), *block.end());
        [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
    });
    for address in (0..1 << 24).map(|high| high << 8 | (high & 255)).chain(edges) {
        let expected = !blocks.iter().any(|block| block.contains(&address));
        let address = Ipv4Addr::from_bits(address);
        assert_eq!(is_public(address.into()), expected, "{address}");
    }
}

#[test]
fn ipv6_addresses() {
    let rows = [
        ("::", false),
        ("::1", false),
        ("::7f00:1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:8.8.8.8", false),
        ("::ffff:0:8.8.8.8", false),
        ("64:ff9b::7f00:1", false),
        ("64:ff9b::808:808", false),
        ("64:ff9b:1::1", false),
        ("100::1", false),
        ("1fff:ffff::", false),
        ("2000::", true),
        ("2001::1", false),
        ("2001:1ff:ffff::", false),
        ("2001:200::", true),
        ("2001:db7:ffff::", true),
        ("2001:db8::1", false),
        ("2001:db9::", true),
        ("2001:4860:4860::8888", true),
        ("2001:ffff:ffff::", true),
        ("2002:7f00:1::", false),
        ("2002:808:808::", false),
        ("2003::", true),
        ("2606:4700::1111", true),
        ("3ffe:ffff::", true),
        ("3fff::1", false),
        ("3fff:0fff:ffff::", false),
        ("3fff:1000::", true),
        ("4000::", false),
        ("5f00::1", false),
        ("fbff::1", false),
        ("fc00::1", false),
        ("fd12:3456::1", false),
        ("fe80::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ];
    for (text, expected) in rows {
        assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn urls_of_the_public_internet() {
    let rows = [
        ("https://api.example.com", "https://api.example.com"),
        ("https://API.Example.COM:8443/V1/", "https://api.example.com:8443/V1"),
        ("https://api.example.com/a@b/c:d//", "https://api.example.com/a@b/c:d"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]:443/v1", "https://[2606:4700::1111]:443/v1"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1"),
        ("https://7.example.com", "https://7.example.com"),
        ("https://notlocalhost.com", "https://notlocalhost.com"),
        ("https://0x.com", "https://0x.com"),
    ];
    for (given, expected) in rows {
        assert_eq!(public_url(given).as_deref(), Ok(expected), "{given}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn urls_that_are_not() {
    let rows = [
        "",
        "api.example.com",
        "http://api.example.com",
        "HTTPS://api.example.com",
        "ftp://api.example.com",
        "https://",
        "https:///v1",
        "https:/api.example.com",
        "https://ada:pw@api.example.com",
        "https://@api.example.com",
        "https://api.example.com@127.0.0.1",
        "https://127.0.0.1\\@api.example.com",
        "https://127.0.0.1#@api.example.com",
        "https://127.0.0.1?@api.example.com",
        "https://api.example.com/v1?x=y",
        "https://api.example.com/v1#x",
        "https://api.example.com/a b",
        " https://api.example.com",
        "https://api.example.com\n",
        "https://api.exam\tple.com",
        "https://bücher.example",
        "https://api%2eexample.com",
        "https://127%2e0%2e0%2e1",
        "https://１２７.0.0.1",
        "https://api.example.com.",
        "https://127.0.0.1.",
        "https://localhost.",
        "https://api..example.com",
        "https://.example.com",
        "https://localhost",
        "https://LOCALHOST:8000",
        "https://a.localhost",
        "https://printer.local",
        "https://metadata.google.internal",
        "https://router.home.arpa",
        "https://intranet",
        "https://127.0.0.1",
        "https://127.1",
        "https://127.0.1",
        "https://2130706433",
        "https://017700000001",
        "https://0177.0.0.1",
        "https://0x7f.0.0.1",
        "https://0x7f000001",
        "https://0x7F.1",
        "https://127.0.0.0x1",
        "https://1.2.3.4.5",
        "https://127.0.0.256",
        "https://127.0.0.01",
        "https://8.8.8.08",
        "https://a.1",
        "https://a.0x",
        "https://0.0.0.0",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://192.168.0.1:8443/v1",
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:8.8.8.8]",
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%eth0]",
        "https://[2606:4700::1111",
        "https://2606:4700::1111",
        "https://[8.8.8.8]",
        "https://[v1.8]",
        "https://[]",
        "https://api.example.com:",
        "https://api.example.com:0",
        "https://api.example.com:65536",
        "https://api.example.com:+443",
        "https://api.example.com:443:443",
        "https://[2606:4700::1111]x:443",
        "https://[2606:4700::1111]:",
    ];
    for given in rows {
        assert!(public_url(given).is_err(), "{given}");
    }
    assert!(public_url(&format!("https://{}.com", "a".repeat(64))).is_err());
    assert!(public_url(&format!("https://{}com", "a.".repeat(126))).is_err());
    assert!(public_url(&format!("https://a.com/{}", "a".repeat(URL_BYTES_MAX))).is_err());
}

#[test]
fn a_name_has_at_most_253_bytes() {
    let label = "a".repeat(63);
    let name = |last: usize| format!("{label}.{label}.{label}.{}", "b".repeat(last));
    assert_eq!(check_name(&name(61)), Ok(()));
    assert!(check_name(&name(62)).is_err());
}
