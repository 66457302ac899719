//! HMAC-SHA-256 (RFC 2104 over FIPS 180-4).
//!
//! Written out rather than taken from a crate: it is two hashes and two constants, and the hash is there already.

use std::fmt;

use sha2::{Digest, Sha256};

/// The hash's block, in bytes.
const BLOCK: usize = 64;

/// A key, taken in: what each code begins with.
#[derive(Clone)]
pub(super) struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl Key {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            let hashed: [u8; 32] = Sha256::digest(key).into();
            block[..32].copy_from_slice(&hashed);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |with: u8| Sha256::new().chain_update(block.map(|byte| byte ^ with));
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    /// Begins the code of a text.
    pub(super) fn begin(&self) -> Code<'_> {
        Code {
            key: self,
            hash: self.inner.clone(),
        }
    }
}

/// The key is not shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// A code that is being computed.
pub(super) struct Code<'k> {
    key: &'k Key,
    hash: Sha256,
}

impl Code<'_> {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        let outer = self.key.outer.clone().chain_update(self.hash.finalize());
        outer.finalize().into()
    }
}

impl fmt::Write for Code<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    /// RFC 4231, test cases 1, 2 and 6: a short key, a shorter one, one that is longer than a block.
    #[test]
    fn codes_are_those_of_rfc_4231() {
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                long,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            let key = Key::new(key);
            let mut code = key.begin();
            code.add(text);
            let hex: String = code.finish().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }
}
