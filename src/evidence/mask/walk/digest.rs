//! Keyed digests of values, which stand for them where they are masked.

use std::fmt::Write;

use crate::epoch::hex;
use crate::value::arena::NameText;
use crate::value::text::write_string;

use super::Walk;
use crate::evidence::copied::{Copied, Token};
use crate::evidence::mask::hmac::{Code, Key};

/// What a digest begins with.
const PREFIX: &str = "hmac-sha256:";

impl Walk<'_> {
    /// The digest of the value that comes next, as a text.
    pub(super) fn digest(&mut self, out: &mut Copied) {
        let digest = Hex::of(self.value_digest());
        let text = out.add_text(digest.as_str());
        out.tokens.push(Token::Text(text));
    }

    /// Over a value's text in Cedar's syntax; of sets and records over the sorted digests of what they hold, so that neither
    /// their order nor their size in memory matters.
    fn value_digest(&mut self) -> [u8; 32] {
        let from = self.from;
        match self.next() {
            Some(Token::Set(count)) => {
                let start = self.work.parts.len();
                for _ in 0..count {
                    let part = self.value_digest();
                    self.work.parts.push(part);
                }
                self.of_parts(start, b"[")
            }
            Some(Token::Record(count)) => {
                let start = self.work.parts.len();
                for _ in 0..count {
                    let name = match self.next() {
                        Some(Token::Name(name)) => self.names.sym_text(name),
                        Some(Token::Text(span)) => from.text(span),
                        _ => "",
                    };
                    let value = self.value_digest();
                    let part = self.code(|code| {
                        write_string(name, code)?;
                        code.add(&value);
                        Ok(())
                    });
                    self.work.parts.push(part);
                }
                self.of_parts(start, b"{")
            }
            Some(uid @ (Token::Known(_) | Token::Entity(_))) => {
                let (type_name, id) = self.uid_text(uid).unwrap_or_default();
                self.uid_digest(type_name, id)
            }
            token => self.code(|code| match token {
                Some(Token::Bool(b)) => write!(code, "{b}"),
                Some(Token::Long(i)) => write!(code, "{i}"),
                Some(Token::Text(span)) => write_string(from.text(span), code),
                Some(Token::Decimal(d)) => write!(code, "decimal(\"{d}\")"),
                Some(Token::Duration(d)) => write!(code, "duration(\"{d}\")"),
                Some(Token::Ip(at)) => match from.address(at) {
                    Some(ip) => write!(code, "ip(\"{ip}\")"),
                    None => Ok(()),
                },
                Some(Token::Datetime(d)) => write!(code, "datetime({})", d.millis()),
                _ => Ok(()),
            }),
        }
    }

    fn of_parts(&mut self, start: usize, kind: &[u8]) -> [u8; 32] {
        let key = self.key;
        let parts = self.work.parts.get_mut(start..).unwrap_or_default();
        parts.sort_unstable();
        let digest = code(key, |code| {
            code.add(kind);
            parts.iter().for_each(|part| code.add(part));
            Ok(())
        });
        self.work.parts.truncate(start);
        digest
    }

    fn code(&self, write: impl FnOnce(&mut Code<'_>) -> std::fmt::Result) -> [u8; 32] {
        code(self.key, write)
    }

    pub(super) fn uid_digest(&self, type_name: &str, id: &str) -> [u8; 32] {
        self.code(|code| {
            write!(code, "{type_name}::")?;
            write_string(id, code)
        })
    }
}

/// The code of what is written. There is a key wherever something is digested; were there none, nothing may show.
fn code(key: Option<&Key>, write: impl FnOnce(&mut Code<'_>) -> std::fmt::Result) -> [u8; 32] {
    let Some(key) = key else { return [0; 32] };
    let mut code = key.begin();
    // A hash takes everything.
    let _ = write(&mut code);
    code.finish()
}

/// A digest as text.
pub(in crate::evidence::mask) struct Hex([u8; PREFIX.len() + 64]);

impl Hex {
    pub(super) fn of(digest: [u8; 32]) -> Self {
        let mut text = [0; PREFIX.len() + 64];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        digits.copy_from_slice(&hex(&digest));
        Self(text)
    }

    pub(in crate::evidence::mask) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}
