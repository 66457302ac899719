//! `ip`.

use super::*;

fn ip_text() -> impl Strategy<Value = String> {
    let v4 = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| net::Ipv4Addr::from(octets).to_string()),
        "(10|127|22[34]|240|256|010)\\.[0-9]{1,3}\\.0\\.[0-9]",
    ];
    let v6 = prop_oneof![
        any::<[u8; 16]>().prop_map(|octets| net::Ipv6Addr::from(octets).to_string()),
        "(0|::|:|ff0[0-9a-f]::?|::ffff:)([0-9a-fA-F]{1,5}(::?)?){0,8}",
        "([0-9a-fA-F]{4}:){7}[0-9a-fA-F]{4,5}",
        "::(ffff:)?(127|10|224)\\.0\\.0\\.1",
    ];
    prop_oneof![
        (v4, "(/[0-9]{0,2}|/3[0-4]|/(0?[0-9]|100))?").prop_map(|(addr, prefix)| addr + &prefix),
        (v6, "(/[0-9]{0,4}|/12[0-9]|/0?[0-9]{1,2})?").prop_map(|(addr, prefix)| addr + &prefix),
    ]
}

/// Addresses that are often equal or in each other's range.
fn ip_value() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        any::<[u8; 4]>(),
        select(vec![
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [126, 255, 255, 255],
            [128, 0, 0, 0],
            [223, 1, 2, 3],
            [224, 0, 0, 1],
            [239, 255, 255, 255],
            [240, 0, 0, 0],
            [255, 255, 255, 255],
        ]),
    ];
    let v6 = prop_oneof![
        any::<[u8; 16]>(),
        select(vec![
            0u128,
            1,
            2,
            0xffff_7f00_0001,
            0x7f00_0001,
            0xfeff << 112,
            0xff << 120,
            0xff02 << 112 | 1,
            1 << 127,
            u128::MAX,
        ])
        .prop_map(u128::to_be_bytes),
    ];
    let prefix_v4 = prop_oneof![0..=32u8, select(vec![0, 3, 4, 5, 7, 8, 9, 31, 32])];
    let prefix_v6 = prop_oneof![0..=128u8, select(vec![0, 7, 8, 9, 127, 128])];
    prop_oneof![
        (v4, prefix_v4).prop_map(|(addr, prefix)| IpAddr::new(addr.into(), prefix).unwrap()),
        (v6, prefix_v6).prop_map(|(addr, prefix)| IpAddr::new(addr.into(), prefix).unwrap()),
    ]
}

/// An address, and one that differs from it in a single bit or only in its prefix.
fn ip_pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    let near = (ip_value(), 0..=128u32, any::<u8>()).prop_map(|(ip, bit, prefix)| {
        let flipped = match ip.addr() {
            net::IpAddr::V4(v4) => {
                net::Ipv4Addr::from(u32::from(v4) ^ 1u32.checked_shl(bit).unwrap_or(0)).into()
            }
            net::IpAddr::V6(v6) => {
                net::Ipv6Addr::from(u128::from(v6) ^ 1u128.checked_shl(bit).unwrap_or(0)).into()
            }
        };
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        (ip, IpAddr::new(flipped, prefix % (bits + 1)).unwrap())
    });
    prop_oneof![2 => near, 1 => (ip_value(), ip_value())]
}

struct IpOracle {
    same: Oracle,
}

impl IpOracle {
    fn new() -> Self {
        Self {
            same: Oracle::new("ip(context.a) == ip(context.b)"),
        }
    }

    /// Same verdict on `text`, and the same value: Cedar finds it equal to our rendering of it.
    fn agrees_on(&self, text: &str) {
        match IpAddr::parse(text) {
            Ok(value) => {
                assert!(self.same.bool(text, value), "{text:?}");
                assert_eq!(IpAddr::parse(&value.to_string()), Ok(value));
            }
            Err(_) => assert_eq!(self.same.ask(text, "::"), None, "{text:?}"),
        }
    }
}

#[test]
fn ip_table() {
    use ExtError::{IpMalformed, IpMixedNotation, IpPrefixMalformed, IpPrefixTooLong, IpTooLong};
    let table: &[(&str, Result<&str, ExtError>)] = &[
        ("1.2.3.4", Ok("1.2.3.4/32")),
        ("1.2.3.4/32", Ok("1.2.3.4/32")),
        ("10.0.0.1/24", Ok("10.0.0.1/24")),
        ("0.0.0.0/0", Ok("0.0.0.0/0")),
        ("::", Ok("::/128")),
        ("::1/0", Ok("::1/0")),
        ("FF00::/8", Ok("ff00::/8")),
        ("0:0:0:0:0:0:0:1", Ok("::1/128")),
        ("::ffff:7f00:1", Ok("::ffff:7f00:1/128")),
        ("::ffff:0:0/96", Ok("::ffff:0:0/96")),
        ("::7f00:1", Ok("::7f00:1/128")),
        (
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789/128",
            Ok("abcd:ef01:2345:6789:abcd:ef01:2345:6789/128"),
        ),
        (
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789/0128",
            Err(IpTooLong),
        ),
        ("::ffff:127.0.0.1", Err(IpMixedNotation)),
        ("::127.0.0.1/128", Err(IpMixedNotation)),
        ("", Err(IpMalformed)),
        ("/", Err(IpMalformed)),
        ("/8", Err(IpMalformed)),
        ("1.2.3", Err(IpMalformed)),
        ("1.2.3.4.5", Err(IpMalformed)),
        ("01.2.3.4", Err(IpMalformed)),
        ("256.0.0.0", Err(IpMalformed)),
        (" 1.2.3.4", Err(IpMalformed)),
        ("1.2.3.4\n", Err(IpMalformed)),
        ("1.2.3.4:80", Err(IpMalformed)),
        ("[::1]", Err(IpMalformed)),
        ("[::1]:80", Err(IpMalformed)),
        ("fe80::1%eth0", Err(IpMalformed)),
        ("fe80::1%1", Err(IpMalformed)),
        (":::", Err(IpMalformed)),
        ("::1::", Err(IpMalformed)),
        ("00000::", Err(IpMalformed)),
        ("٣.2.3.4", Err(IpMalformed)),
        ("1.2.3.4/", Err(IpPrefixMalformed)),
        ("1.2.3.4/08", Err(IpPrefixMalformed)),
        ("1.2.3.4/00", Err(IpPrefixMalformed)),
        ("1.2.3.4/+8", Err(IpPrefixMalformed)),
        ("1.2.3.4/-8", Err(IpPrefixMalformed)),
        ("1.2.3.4/8/8", Err(IpPrefixMalformed)),
        ("1.2.3.4/255.0.0.0", Err(IpPrefixMalformed)),
        ("1.2.3.4/٣", Err(IpPrefixMalformed)),
        ("::/0128", Err(IpPrefixMalformed)),
        ("1.2.3.4/33", Err(IpPrefixTooLong)),
        ("1.2.3.4/100", Err(IpPrefixTooLong)),
        ("::/129", Err(IpPrefixTooLong)),
        ("::/256", Err(IpPrefixTooLong)),
        ("::/99999999999999999999", Err(IpPrefixTooLong)),
    ];
    let oracle = IpOracle::new();
    for &(text, expected) in table {
        let actual = IpAddr::parse(text).map(|ip| ip.to_string());
        assert_eq!(actual, expected.map(str::to_owned), "{text:?}");
        oracle.agrees_on(text);
    }
}

#[test]
fn ip_texts() {
    let oracle = IpOracle::new();
    check(600, ip_text(), |text| oracle.agrees_on(&text));
    check(600, damaged(ip_text()), |text| oracle.agrees_on(&text));
}

#[test]
fn ip_methods() {
    let ask = |method: &str| Oracle::new(&format!("ip(context.a).{method}()"));
    let (is_v4, is_v6) = (ask("isIpv4"), ask("isIpv6"));
    let (loopback, multicast) = (ask("isLoopback"), ask("isMulticast"));
    check(500, ip_value(), |ip| {
        assert_eq!(IpAddr::parse(&ip.to_string()), Ok(ip));
        assert_eq!(ip.is_ipv4(), is_v4.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_ipv6(), is_v6.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_loopback(), loopback.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_multicast(), multicast.bool(ip, ""), "{ip}");
    });

    let same = Oracle::new("ip(context.a) == ip(context.b)");
    let in_range = Oracle::new("ip(context.a).isInRange(ip(context.b))");
    check(500, ip_pair(), |(a, b)| {
        assert_eq!(a == b, same.bool(a, b), "{a} {b}");
        assert_eq!(a.is_in_range(b), in_range.bool(a, b), "{a} {b}");
        assert_eq!(b.is_in_range(a), in_range.bool(b, a), "{b} {a}");
    });
}

#[test]
fn ip_order_is_version_address_prefix() {
    check(500, (ip_value(), ip_value()), |(a, b)| {
        let key = |ip: IpAddr| (ip.is_ipv6(), ip.addr(), ip.prefix());
        assert_eq!(a.cmp(&b), key(a).cmp(&key(b)));
        assert_eq!(a == b, HashSet::from([a]).contains(&b));
    });
}

#[test]
fn ip_from_std() {
    let v4 = net::Ipv4Addr::new(1, 2, 3, 4);
    assert_eq!(Ok(IpAddr::from(v4)), IpAddr::parse("1.2.3.4"));
    assert_eq!(IpAddr::from(v4).addr(), net::IpAddr::V4(v4));
    let mapped = v4.to_ipv6_mapped();
    assert_eq!(Ok(IpAddr::from(mapped)), IpAddr::parse("::ffff:102:304"));
    assert_eq!(
        IpAddr::from(net::IpAddr::V6(mapped)).addr(),
        net::IpAddr::V6(mapped)
    );
    assert_eq!(IpAddr::new(v4.into(), 33), Err(ExtError::IpPrefixTooLong));
    assert_eq!(
        IpAddr::new(mapped.into(), 129),
        Err(ExtError::IpPrefixTooLong)
    );
    assert_eq!(IpAddr::new(v4.into(), 8), IpAddr::parse("1.2.3.4/8"));
}
