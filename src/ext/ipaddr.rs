//! Cedar's `ipaddr`: an IPv4 or IPv6 address with a prefix length.

use std::fmt;
use std::net;

use super::ExtError;

const MAX_TEXT_LEN: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".len();
const V4_BITS: u8 = 32;
const V6_BITS: u8 = 128;

/// Cedar's `ipaddr`: an address and the number of its bits that name a network.
///
/// Equality compares the address as written *and* the prefix: `1.2.3.4` equals `1.2.3.4/32`, while `10.0.0.1/24` and
/// `10.0.0.0/24` differ although they name the same network. An IPv4 address never equals, and is never in the range
/// of, an IPv6 address. Rules: Cedar documentation, "Extension types", `ipaddr`; behaviour pinned by `cedar-policy`
/// 4.14.
///
/// The layout is bytes only, so that an enum of values can hold it inline at any offset.
// Field order is the order of comparison: version, address, prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IpAddr {
    v6: bool,
    /// An IPv4 address is in the first four, with zeros behind it.
    octets: [u8; 16],
    prefix: u8,
}

const _: () = assert!(size_of::<IpAddr>() == 18 && align_of::<IpAddr>() == 1);

impl IpAddr {
    /// All IPv4 addresses.
    pub(crate) const ANY: Self = Self {
        v6: false,
        octets: [0; 16],
        prefix: 0,
    };

    /// Reads an IPv4 or IPv6 address, optionally with `/prefix`.
    ///
    /// Refused are texts of more than 43 bytes, prefixes with leading zeros, and IPv6 addresses that contain IPv4
    /// notation (`::ffff:1.2.3.4`); the same address in hexadecimal groups is accepted, as an IPv6 address.
    ///
    /// # Errors
    /// One of the `Ip…` reasons of [`ExtError`].
    pub(crate) fn parse(text: &str) -> Result<Self, ExtError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(ExtError::IpTooLong);
        }
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: net::IpAddr = addr.parse().map_err(|_| ExtError::IpMalformed)?;
        if addr.is_ipv6() && text.contains('.') {
            return Err(ExtError::IpMixedNotation);
        }
        match prefix {
            Some(prefix) => Self::new(addr, parse_prefix(prefix)?),
            None => Ok(Self::from(addr)),
        }
    }

    /// The network of the first `prefix` bits of `addr`, remembering all of `addr`.
    ///
    /// # Errors
    /// [`ExtError::IpPrefixTooLong`] if the address has fewer bits than that.
    pub(crate) fn new(addr: net::IpAddr, prefix: u8) -> Result<Self, ExtError> {
        let whole = Self::from(addr);
        if prefix > whole.prefix {
            return Err(ExtError::IpPrefixTooLong);
        }
        Ok(Self { prefix, ..whole })
    }

    /// The address without its prefix.
    #[must_use]
    pub(crate) fn addr(self) -> net::IpAddr {
        if self.v6 {
            net::Ipv6Addr::from(self.octets).into()
        } else {
            let [a, b, c, d, ..] = self.octets;
            net::Ipv4Addr::new(a, b, c, d).into()
        }
    }

    /// The prefix length; 32 or 128 for a single address.
    #[must_use]
    pub(crate) const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Cedar's `isIpv4`.
    #[must_use]
    pub(crate) const fn is_ipv4(self) -> bool {
        !self.v6
    }

    /// Cedar's `isIpv6`.
    #[must_use]
    pub(crate) const fn is_ipv6(self) -> bool {
        self.v6
    }

    /// Cedar's `isLoopback`: whether the whole range lies in `127.0.0.0/8` or is `::1`.
    #[must_use]
    pub(crate) fn is_loopback(self) -> bool {
        const V4: IpAddr = IpAddr::v4([127, 0, 0, 0], 8);
        const V6: IpAddr = IpAddr::v6(net::Ipv6Addr::LOCALHOST.octets(), V6_BITS);
        self.is_in_range(if self.v6 { V6 } else { V4 })
    }

    /// Cedar's `isMulticast`: whether the whole range lies in `224.0.0.0/4` or `ff00::/8`.
    #[must_use]
    pub(crate) fn is_multicast(self) -> bool {
        const V4: IpAddr = IpAddr::v4([224, 0, 0, 0], 4);
        const V6: IpAddr = IpAddr::v6([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8);
        self.is_in_range(if self.v6 { V6 } else { V4 })
    }

    /// Cedar's `isInRange` with one argument: whether every address of `self` is one of `other`.
    ///
    /// False across versions, also for IPv4-mapped IPv6 addresses.
    #[must_use]
    pub(crate) fn is_in_range(self, other: Self) -> bool {
        // Ranges are aligned blocks, hence nested or disjoint: no need to compare first and last addresses.
        let differing = u128::from_be_bytes(self.octets) ^ u128::from_be_bytes(other.octets);
        self.v6 == other.v6
            && self.prefix >= other.prefix
            && differing.leading_zeros() >= u32::from(other.prefix)
    }

    const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Self {
        Self {
            v6: false,
            octets: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            prefix,
        }
    }

    const fn v6(octets: [u8; 16], prefix: u8) -> Self {
        Self {
            v6: true,
            octets,
            prefix,
        }
    }
}

fn parse_prefix(text: &str) -> Result<u8, ExtError> {
    // `u8::from_str` would take `+8` and `08`.
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(ExtError::IpPrefixMalformed);
    }
    if bytes.len() > 1 && bytes.starts_with(b"0") {
        return Err(ExtError::IpPrefixMalformed);
    }
    text.parse().map_err(|_| ExtError::IpPrefixTooLong)
}

impl From<net::Ipv4Addr> for IpAddr {
    fn from(addr: net::Ipv4Addr) -> Self {
        Self::v4(addr.octets(), V4_BITS)
    }
}

impl From<net::Ipv6Addr> for IpAddr {
    fn from(addr: net::Ipv6Addr) -> Self {
        Self::v6(addr.octets(), V6_BITS)
    }
}

/// A single address, with the full prefix. An IPv4-mapped IPv6 address stays IPv6, as it does in Cedar.
impl From<net::IpAddr> for IpAddr {
    fn from(addr: net::IpAddr) -> Self {
        match addr {
            net::IpAddr::V4(v4) => v4.into(),
            net::IpAddr::V6(v6) => v6.into(),
        }
    }
}

/// `address/prefix`, which [`IpAddr::parse`] reads back.
///
/// An IPv4-mapped address is written in hexadecimal groups: std, and through it Cedar's own rendering, would write it
/// as `::ffff:1.2.3.4`, which Cedar's `ip` refuses to read.
impl fmt::Display for IpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr() {
            net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                let [.., high, low] = v6.segments();
                write!(f, "::ffff:{high:x}:{low:x}/{}", self.prefix)
            }
            net::IpAddr::V6(v6) => write!(f, "{v6}/{}", self.prefix),
            net::IpAddr::V4(v4) => f.write_str(V4Text::new(v4, self.prefix).as_str()),
        }
    }
}

/// Many contexts have one, and so have their records: `write!` takes 600 instructions for it.
struct V4Text {
    text: [u8; "255.255.255.255/32".len()],
    len: usize,
}

impl V4Text {
    fn new(addr: net::Ipv4Addr, prefix: u8) -> Self {
        let mut to = Self {
            text: Default::default(),
            len: 0,
        };
        for octet in addr.octets() {
            to.number(octet);
            to.push(b'.');
        }
        to.len -= 1;
        to.push(b'/');
        to.number(prefix);
        to
    }

    fn number(&mut self, number: u8) {
        if number >= 100 {
            self.push(b'0' + number / 100);
        }
        if number >= 10 {
            self.push(b'0' + number / 10 % 10);
        }
        self.push(b'0' + number % 10);
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn as_str(&self) -> &str {
        let text = self.text.get(..self.len).unwrap_or_default();
        str::from_utf8(text).unwrap_or_default()
    }
}
